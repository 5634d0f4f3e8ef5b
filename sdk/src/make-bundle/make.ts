import type { Api } from '../audit/api.ts'
import { type BundleRequest, planBundle } from '../bundle/make-bundle.ts'
import type { BundleManifest, BundleScope } from '../bundle/manifest.ts'
import { KillickError } from '../core/errors.ts'
import { nodePrimitives } from '../node/primitives.ts'
import { openLedger } from './reader.ts'
import { printReport } from './report.ts'
import { type ForPeople, type WritingProgress, type WrittenBundle, writeBundle } from './writer.ts'

/**
 * What was made, what it holds all of, and how many events of that it does not hold because retention policies have dropped them. `isReached`:
 * whether an anchor in it is late enough to show that it reaches until the time that was asked for; if not, no check of it can call it complete.
 */
export type MadeBundle = WrittenBundle & {
  readonly scope: BundleScope
  readonly dropped: number
  readonly isReached: boolean
}

/** How often it is made again at most, because events were dropped, or fields erased, meanwhile. */
const AGAIN = 3

/** How far it has come: `of` is how many entries there will be. */
export type MakingProgress = WritingProgress & { readonly of: number }

/** How `makeBundle` makes it. */
export type MakeBundleOptions = {
  /** Where the service is, as the manifest says it. */
  readonly url: string
  /** Most bytes of the file. Default: no limit but that of the format. */
  readonly maxBytes?: number
  /**
   * Without what is for people: a report, and the service's verification page, if it has one, which takes some hundred kilobytes.
   * Default false.
   */
  readonly isBare?: boolean
  /** Called now and then. */
  readonly onProgress?: (progress: MakingProgress) => void
}

/**
 * Makes a bundle out of what a service gives its readers. The file has its name once it is whole and on the disk; until then its bytes
 * are in `<file>.part`. A file that is there already is replaced.
 * @param api a service, opened with a reader's token: `openApi` of `@killick/sdk/audit`
 * @throws KillickError `bundle_empty`, `bundle_too_large`, `bundle_outdated` if events are dropped, or fields erased, again and again meanwhile, `answer_malformed`, `unreachable`, or the service's refusal; errors of the system
 * @example
 * const api = openApi('https://audit.example.com', token)
 * const request = bundleRequest({ source: 'billing-api', from: '2026-04-01T00:00:00Z' })
 * await makeBundle(api, request, 'second-quarter.bundle', { url: 'https://audit.example.com' })
 */
export async function makeBundle(
  api: Api,
  request: BundleRequest,
  file: string,
  { url, maxBytes = Number.MAX_SAFE_INTEGER, isBare = false, onProgress }: MakeBundleOptions,
): Promise<MadeBundle> {
  for (let left = AGAIN; ; left--) {
    try {
      return await makeOnce(api, request, file, { url, maxBytes, isBare, ...(onProgress && { onProgress }) })
    } catch (error) {
      if (left === 0 || !(error instanceof KillickError) || error.code !== 'bundle_outdated') throw error
    }
  }
}

/** @throws KillickError `bundle_outdated` if events were dropped, or fields erased, meanwhile */
async function makeOnce(
  api: Api,
  request: BundleRequest,
  file: string,
  { url, maxBytes, isBare, onProgress }: MakeBundleOptions & { readonly maxBytes: number },
): Promise<MadeBundle> {
  const plan = await planBundle(openLedger(api, url), request, Date.now(), nodePrimitives)
  const { manifest, entries, lines, dropped } = plan
  const page = isBare ? null : await readPage(api)
  const forPeople: ForPeople = (known) =>
    isBare
      ? []
      : [
          ['report.html', Buffer.from(printReport(manifest, { ...known, dropped: dropped(), hasPage: page !== null }))],
          ...(page === null ? [] : [['verify.html', page] as const]),
        ]
  const written = await writeBundle(file, manifest, lines(), forPeople, maxBytes, (progress) =>
    onProgress?.({ ...progress, of: entries }),
  )
  return { ...written, dropped: dropped(), scope: manifest.scope, isReached: isReached(manifest) }
}

function isReached({ scope, anchors }: BundleManifest): boolean {
  if (scope.kind !== 'source' || scope.until === null) return true
  const until = Date.parse(scope.until)
  return anchors.some(({ size, time }) => size <= scope.to && 1000 * time >= until)
}

const MAX_PAGE_BYTES = 4 << 20

/** The page in one file; null: this service has none. */
async function readPage(api: Api): Promise<Uint8Array | null> {
  try {
    return await api.bytes('/verify/alone.html', MAX_PAGE_BYTES)
  } catch (error) {
    if (error instanceof KillickError && error.details.status === 404) return null
    throw error
  }
}
