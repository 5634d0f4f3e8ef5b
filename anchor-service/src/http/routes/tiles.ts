import { Type } from '@fastify/type-provider-typebox'
import { printHash, TILE_WIDTH } from '@killick/sdk'
import { Refusal } from '../../errors.ts'
import { readTargets } from '../../ledger/anchors.ts'
import { readSuccessions } from '../../ledger/successions.ts'
import { readConsistency, readEntries, readTiles } from '../../ledger/tiles.ts'
import { requireToken } from '../auth.ts'
import type { App, AppDeps } from '../deps.ts'
import { ConsistencyQuery, ConsistencySchema, LogSchema, ProblemSchema } from '../schemas.ts'
import { parseTilePath, type TileAddress } from '../tile-path.ts'

const FOREVER = 'public, max-age=31536000, immutable'

/** C2SP tlog-tiles (c2sp.org/tlog-tiles), and what a verifier pins. */
export function tileRoutes(app: App, { ledger, tokens, tiles }: AppDeps): void {
  const guard = tiles === 'private' ? { onRequest: requireToken(tokens, 'reader') } : {}
  const common = { tags: ['log'], ...(tiles === 'private' && { security: [{ reader: [] }] }) }
  const cache = (control: string) => (tiles === 'private' ? control.replace('public', 'private') : control)
  const bytes = { 200: Type.Any({ description: 'bytes' }), default: ProblemSchema }

  app.get(
    '/checkpoint',
    { ...guard, schema: { ...common, summary: 'The newest checkpoint: a C2SP signed note', response: bytes } },
    async (_request, reply) => {
      const head = await ledger.head()
      if (head === null) throw new Refusal('not_found', 'The log is empty.')
      return reply.type('text/plain; charset=utf-8').header('cache-control', cache('public, max-age=1')).send(head.note)
    },
  )

  app.get(
    '/tile/*',
    {
      ...guard,
      schema: {
        ...common,
        summary: 'A tile of the tree (<L>/<N>[.p/<W>]) or a bundle of entries (entries/<N>[.p/<W>])',
        response: bytes,
      },
    },
    async (request, reply) => {
      const address = parseTilePath((request.params as { '*': string })['*'])
      if (address === null) throw new Refusal('not_found')
      const bytes = await readTile(address)
      return reply.type('application/octet-stream').header('cache-control', cache(FOREVER)).send(bytes)
    },
  )

  app.get(
    '/v1/consistency',
    {
      // Always public: recorders have no token, accept no checkpoint without it, and it shows nothing but hashes.
      schema: {
        tags: ['log'],
        summary: 'That the log of one size extends the log of a smaller one: the RFC 9162 consistency path',
        querystring: ConsistencyQuery,
        response: { 200: ConsistencySchema, default: ProblemSchema },
      },
    },
    async ({ query }, reply) => {
      const [from, to] = [Number(query.from), Number(query.to)]
      if (from > to) throw new Refusal('request_invalid', 'from must not be larger than to.')
      if (to > ((await ledger.head())?.size ?? 0)) {
        reply.header('cache-control', 'no-store')
        throw new Refusal('not_found', 'The log has not grown to this size yet.')
      }
      const path = await readConsistency(ledger.db, from, to)
      reply.header('cache-control', FOREVER)
      return { from, to, path: path.map(printHash) }
    },
  )

  app.get(
    '/v1/log',
    {
      schema: { tags: ['log'], summary: 'What a verifier pins', response: { 200: LogSchema, default: ProblemSchema } },
    },
    async () => ({
      origin: ledger.log.origin,
      vkey: ledger.log.vkey,
      targets: await readTargets(ledger.db),
      successions: (await readSuccessions(ledger.db, ledger.log)).map(({ note, transaction, block }) => ({
        note,
        transaction,
        block,
      })),
    }),
  )

  /** Only what a signed checkpoint covers is served. */
  async function readTile({ level, index, width }: TileAddress): Promise<Buffer> {
    const size = (await ledger.head())?.size ?? 0
    const filled = Math.floor(size / TILE_WIDTH ** (level === 'entries' ? 0 : level)) - index * TILE_WIDTH
    if (filled < width) throw new Refusal('not_found', 'The log has not grown to this tile yet.')
    if (level !== 'entries') {
      const [hashes] = await readTiles(ledger.db, [{ level, index }])
      return Buffer.concat(hashes!.slice(0, width))
    }
    const entries = await readEntries(ledger.db, index * TILE_WIDTH, width)
    return Buffer.concat(
      entries.flatMap((entry) => {
        const length = Buffer.alloc(2)
        length.writeUInt16BE(entry.length)
        return [length, Buffer.from(entry, 'latin1')]
      }),
    )
  }
}
