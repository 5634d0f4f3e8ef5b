/** Loads the script that checks bundles, once somebody brings one: a page on a disk can read no file but scripts. */
import type { BundleShelf, OpenBundle } from './bundle/kit.ts'

const shelf = globalThis as BundleShelf
const FIRST_NAME = 'manifest.json\0'

/** Whether a file begins as bundles do. */
export async function isBundle(file: File): Promise<boolean> {
  const head = await file
    .slice(0, FIRST_NAME.length)
    .text()
    .catch(() => '')
  return head === FIRST_NAME
}

/**
 * @param home - Where the page's own files are.
 * @throws Error where it cannot be loaded
 */
export function bundleOpener(home: string): Promise<OpenBundle> {
  const { promise, resolve, reject } = Promise.withResolvers<OpenBundle>()
  if (shelf.killickBundle !== undefined) return Promise.resolve(shelf.killickBundle)
  const script = document.createElement('script')
  script.src = `${home}bundle.js`
  const done = () => {
    if (shelf.killickBundle === undefined) reject(new Error('bundle.js cannot be loaded'))
    else resolve(shelf.killickBundle)
  }
  script.onload = done
  script.onerror = done
  document.head.append(script)
  return promise.finally(() => script.remove())
}
