/** What the OpenAPI document says of the service as a whole. */
import { readFileSync } from 'node:fs'

const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
export const VERSION = (JSON.parse(manifest) as { version: string }).version

/** In the order in which somebody new will need them. */
const TAGS = {
  recording: 'What recorders send; `@killick/sdk` does it for you.',
  reading: 'What was recorded, with the reader’s token.',
  bundles: 'Everything of a source, a stream or a search in one file that proves itself.',
  erasure:
    'Orders to erase fields of events and retention policies, with the eraser’s token, and holds that veto both.',
  shares: 'Links that show a proof to whoever has them.',
  log: 'The log itself, for verifiers and monitors.',
  administration: 'With the admin’s token.',
  console: 'What the console needs besides.',
  operation: 'For whoever runs the service.',
}

/** @param url where outsiders find the service; null: where they found the document */
export const describe = (url: string | null) => ({
  openapi: '3.1.0',
  info: {
    title: 'Killick anchor service',
    description:
      'An audit ledger that not even its operator can rewrite. Refusals are problem documents (RFC 9457) with a stable `code`.',
    version: VERSION,
  },
  servers: [{ url: url ?? '/' }],
  tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
  components: {
    securitySchemes: {
      reader: { type: 'http' as const, scheme: 'bearer', description: 'The reader’s token; the admin’s will do too.' },
      eraser: { type: 'http' as const, scheme: 'bearer', description: 'The token for erasures; no other will do.' },
      admin: { type: 'http' as const, scheme: 'bearer', description: 'The admin’s token.' },
    },
  },
})

type Described = { readonly responses?: Record<string, { content?: Record<string, unknown> }> }

/** Says of the refusals in a document what they are: each is a problem document, whatever else the route answers. */
export function nameProblems({ paths = {} }: { paths?: object }): void {
  for (const methods of Object.values(paths as Record<string, Record<string, Described>>))
    for (const { responses } of Object.values(methods)) {
      const refusal = responses?.default
      const [schema] = Object.values(refusal?.content ?? {})
      if (refusal !== undefined && schema !== undefined) refusal.content = { 'application/problem+json': schema }
    }
}

/**
 * Shows a wildcard as a parameter with a name, since OpenAPI has none: of a parameter `*`, generators make clients that do not compile, or
 * that ask for `/tile/` alone.
 */
export const nameWildcard = <S>({ schema, url }: { schema: S; url: string }): { schema: S; url: string } => ({
  schema,
  url: url.replace('*', ':path'),
})
