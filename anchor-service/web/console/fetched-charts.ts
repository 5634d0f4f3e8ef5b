/** Loads what draws charts, once somebody looks at one. */
import type uPlot from 'uplot'

export type ChartShelf = { killickChart?: typeof uPlot }

const shelf = globalThis as ChartShelf

/** @throws Error where it cannot be loaded */
export async function chartMaker(): Promise<typeof uPlot> {
  if (shelf.killickChart === undefined) {
    const { promise, resolve } = Promise.withResolvers<unknown>()
    const script = document.createElement('script')
    script.src = '/console/charts.js'
    script.onload = resolve
    script.onerror = resolve
    document.head.append(script)
    await promise.finally(() => script.remove())
  }
  if (shelf.killickChart === undefined) throw new Error('charts.js cannot be loaded')
  return shelf.killickChart
}
