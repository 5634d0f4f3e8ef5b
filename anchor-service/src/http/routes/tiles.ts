import { Type } from '@fastify/type-provider-typebox'
import { isPruned, MAX_RETENTION_DAYS, parseTilePath, printHash, TILE_WIDTH, type TileAddress } from '@killick/sdk/core'
import type { onRequestAsyncHookHandler } from 'fastify'
import { readPruning, setPruning, watchPruning } from '../../erasure/pruning.ts'
import { Refusal } from '../../errors.ts'
import { readSuccessions } from '../../ledger/read/successions.ts'
import { readTargets } from '../../ledger/registry/anchors.ts'
import { readConsistency, readTiles } from '../../ledger/tree/tiles.ts'
import { actorOf, readRole, requireToken } from '../auth.ts'
import { keepBundles } from '../bundles.ts'
import type { App, AppDeps } from '../deps.ts'
import { sendKept } from '../kept-body.ts'
import { ConsistencyQuery, ConsistencySchema, LogSchema, Nullable, ProblemSchema } from '../schemas.ts'

const FOREVER = 'public, max-age=31536000, immutable'

/** C2SP tlog-tiles (c2sp.org/tlog-tiles), and what a verifier pins. */
export function tileRoutes(app: App, { ledger, tokens, tiles }: AppDeps): void {
  const open: onRequestAsyncHookHandler = async (_request, reply) => {
    reply.header('access-control-allow-origin', '*')
  }
  // What is public, monitors in browsers may read from any origin, refusals too; what is not, from none.
  const guard = { onRequest: tiles === 'private' ? requireToken(tokens, 'reader') : open }
  const common = { tags: ['log'], ...(tiles === 'private' && { security: [{ reader: [] }] }) }
  const cache = (control: string) => (tiles === 'private' ? control.replace('public', 'private') : control)
  const bundles = keepBundles(ledger)
  const minimumIndex = watchPruning(ledger.db)
  const bytes = { 200: Type.Any(), default: ProblemSchema }

  app.get(
    '/checkpoint',
    {
      ...guard,
      schema: {
        ...common,
        operationId: 'readCheckpoint',
        summary: 'The newest checkpoint: a C2SP signed note',
        produces: ['text/plain'],
        response: bytes,
      },
    },
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
        operationId: 'readTile',
        summary: 'A tile of the tree (<L>/<N>[.p/<W>]) or a bundle of entries (entries/<N>[.p/<W>])',
        produces: ['application/octet-stream'],
        description: 'What is pruned (`pruning` of `/v1/log`) takes the reader’s token.',
        response: bytes,
      },
    },
    async (request, reply) => {
      const address = parseTilePath((request.params as { '*': string })['*'])
      if (address === null) throw new Refusal('not_found')
      const filled = await filledOf(address)
      if (filled < address.width) throw new Refusal('not_found', 'The log has not grown to this tile yet.')
      const level = address.level === 'entries' ? 0 : address.level
      const isHidden = isPruned(level, address.index, await minimumIndex())
      if (isHidden && (await readRole(tokens, request)) === null) {
        reply.header('cache-control', 'no-store')
        throw new Refusal('entries_pruned')
      }
      // What readers alone get, no cache may give to others.
      const control = isHidden ? FOREVER.replace('public', 'private') : cache(FOREVER)
      reply.type('application/octet-stream').header('cache-control', control)
      if (address.level === 'entries') return sendKept(request, reply, await bundles.read(address))
      return reply.send(await readHashes(address.level, address.index, address.width))
    },
  )

  app.get(
    '/v1/consistency',
    {
      // Always public: recorders have no token, accept no checkpoint without it, and it shows nothing but hashes.
      onRequest: open,
      schema: {
        tags: ['log'],
        operationId: 'readConsistency',
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
      onRequest: open,
      schema: {
        tags: ['log'],
        operationId: 'readLog',
        summary: 'What a verifier pins',
        response: { 200: LogSchema, default: ProblemSchema },
      },
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
      pruning: await readPruning(ledger.db),
    }),
  )

  const administer = { onRequest: requireToken(tokens, 'admin') }
  const setting = {
    tags: ['administration'],
    security: [{ admin: [] }],
    response: {
      200: Type.Object({
        afterDays: Nullable(Type.Integer({ description: 'what the event says; null: never' })),
        pruning: LogSchema.properties.pruning,
      }),
    },
  }

  app.put(
    '/v1/log/pruning',
    {
      ...administer,
      schema: {
        ...{ ...setting, operationId: 'pruneLog', response: { ...setting.response, default: ProblemSchema } },
        summary: 'Say after how many days entries of the log are not published any more',
        description:
          'An event of the log. It counts once a final anchor covers it. Nothing is removed: holders of a token read on, and audits too.',
        body: Type.Object(
          { afterDays: Type.Integer({ minimum: 1, maximum: MAX_RETENTION_DAYS }) },
          { additionalProperties: false },
        ),
      },
    },
    async (request) => {
      const { afterDays } = request.body
      await setPruning(ledger, afterDays, actorOf(request))
      return { afterDays, pruning: await readPruning(ledger.db) }
    },
  )

  app.delete(
    '/v1/log/pruning',
    {
      ...administer,
      schema: {
        ...{ ...setting, operationId: 'unpruneLog', response: { ...setting.response, default: ProblemSchema } },
        summary: 'Publish the whole log again, once a final anchor covers the event',
      },
    },
    async (request) => {
      await setPruning(ledger, null, actorOf(request))
      return { afterDays: null, pruning: await readPruning(ledger.db) }
    },
  )

  /** How much of a tile is there: only what a signed checkpoint covers is served. */
  async function filledOf({ level, index }: TileAddress): Promise<number> {
    const size = (await ledger.head())?.size ?? 0
    return Math.floor(size / TILE_WIDTH ** (level === 'entries' ? 0 : level)) - index * TILE_WIDTH
  }

  async function readHashes(level: number, index: number, width: number): Promise<Buffer> {
    const [hashes] = await readTiles(ledger.db, [{ level, index }])
    return Buffer.concat(hashes!.slice(0, width))
  }
}
