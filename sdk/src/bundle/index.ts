/**
 * `@killick/sdk/bundle`: one file with everything about a stream, a source or a search, and whether it is really everything. Bundles are
 * made by `makeBundle` and checked by `verifyBundle`, for which nobody needs to be trusted or asked but a node of the chain.
 */
export { verifySignature } from '../core/signature.ts'
export { linesOf } from './lines.ts'
export type { BundleAnchor, BundleManifest, BundleScope } from './manifest.ts'
export {
  type CheckSignature,
  type EntryReading,
  type MaybeSigned,
  NamedKeys,
  type PlaceRun,
  readStretch,
  type StretchReading,
} from './reading.ts'
export type { BundleStretch } from './stretches.ts'
export type {
  BundleCompleteness,
  BundleDropped,
  BundleErasure,
  BundleFault,
  BundleFields,
  BundleGap,
  BundleKeyOutside,
  BundlePlace,
  BundleReason,
  BundleSilence,
  BundleSilences,
  BundleVerdict,
  JudgedBundleAnchor,
} from './verdict.ts'
export {
  type BundleOptions,
  type BundleProgress,
  type BundleReader,
  type BundleStretchRead,
  type BundleTrust,
  verifyBundle,
} from './verify-bundle.ts'
