/** Checking bundles as a script of its own, which only those load who bring one. Its workers run it too. */
import type { BundleShelf } from './kit.ts'
import { openBundle } from './view.ts'
import { answerAsWorker } from './worker.ts'

if (globalThis.document === undefined) answerAsWorker()
else {
  const code = codeOf(document.currentScript)
  ;(globalThis as BundleShelf).killickBundle = (file, kit) => openBundle(file, kit, code)
}

/** Where workers find this script: at its address, or in the page in one file, whose policy lets workers begin with what is in it. */
function codeOf(script: HTMLOrSVGScriptElement | null): string | null {
  if (!(script instanceof HTMLScriptElement)) return null
  if (script.src === '') return URL.createObjectURL(new Blob([script.text], { type: 'text/javascript' }))
  return script.src.startsWith('http') ? script.src : null
}
