/** `@killick/sdk/make-bundle`: reads a service as any reader may, and writes a bundle into a file. For Node. */
import '../node/version.ts'

export type { BundleRequest } from '../bundle/make-bundle.ts'
export { type MadeBundle, type MakeBundleOptions, type MakingProgress, makeBundle } from './make.ts'
export { type BundleConditions, bundleRequest } from './request.ts'
