/** Loads the script that checks bundles, once somebody brings one: a page on a disk can read no file but scripts. */
import { runScript } from '../shared/script.ts'
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
export async function bundleOpener(home: string): Promise<OpenBundle> {
  if (shelf.killickBundle === undefined) await runScript(`${home}bundle.js`)
  if (shelf.killickBundle === undefined) throw new Error('bundle.js cannot be loaded')
  return shelf.killickBundle
}
