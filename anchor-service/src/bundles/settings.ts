/** What bundles may take, and how long they stay. */
export type BundleSettings = {
  /** KILLICK_BUNDLES_BYTES: most bytes of the data folder that bundles take together. Default 10,737,418,240. */
  maxBytes: number
  /** KILLICK_BUNDLES_DAYS: days after which a bundle is removed. Default 7. */
  keepDays: number
}

type Integer = (name: string, fallback: number, min: number, max: number) => number

export const loadBundles = (integer: Integer): BundleSettings => ({
  maxBytes: integer('KILLICK_BUNDLES_BYTES', 10 * 2 ** 30, 1 << 20, 2 ** 49),
  keepDays: integer('KILLICK_BUNDLES_DAYS', 7, 1, 36_500),
})
