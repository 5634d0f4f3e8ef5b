/** Loads what draws charts, once somebody looks at one. */
import type uPlot from 'uplot'
import { runScript } from '../shared/script.ts'

export type ChartShelf = { killickChart?: typeof uPlot }

const shelf = globalThis as ChartShelf

/** @throws Error where it cannot be loaded */
export async function chartMaker(): Promise<typeof uPlot> {
  if (shelf.killickChart === undefined) await runScript('/console/charts.js')
  if (shelf.killickChart === undefined) throw new Error('charts.js cannot be loaded')
  return shelf.killickChart
}
