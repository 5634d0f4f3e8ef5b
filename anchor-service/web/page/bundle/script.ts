/** Checking bundles as a script of its own, which only those load who bring one. */
import type { BundleShelf } from './kit.ts'
import { openBundle } from './view.ts'
;(globalThis as BundleShelf).killickBundle = openBundle
