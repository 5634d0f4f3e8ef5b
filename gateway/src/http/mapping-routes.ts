import { createHmac, timingSafeEqual } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { FastifyInstance } from 'fastify'
import { GatewayRefusal, GatewayStartError } from '../errors.ts'
import { parseAt, parseForeign } from '../receivers/json.ts'
import { type MappingConfig, mapInput } from '../receivers/mapping.ts'
import { textOf } from '../utf8.ts'
import {
  aboutEvents,
  type CollectorDeps,
  checkCount,
  mediaType,
  NDJSON,
  reachGoal,
  readGoal,
  recordingRoute,
} from './recording-route.ts'

/** POST /v1/map/<name> for each mapping: JSON or NDJSON, all or none of its events. */
export function mappingRoutes(app: FastifyInstance, deps: CollectorDeps, isSocket: boolean): void {
  for (const [name, mapping] of Object.entries(deps.mappings)) mappingRoute(app, deps, isSocket, name, mapping)
}

const SIGNATURE = 'x-hub-signature-256'

function mappingRoute(
  app: FastifyInstance,
  deps: CollectorDeps,
  isSocket: boolean,
  name: string,
  mapping: MappingConfig,
) {
  const { signed } = mapping
  const secret = signed && readSecret(signed.secret)
  const signer = signed && deps.emitters.find((emitter) => emitter.name === signed.emitter)!
  recordingRoute(
    app,
    deps,
    isSocket,
    `/v1/map/${name}`,
    () => `map/${name}`,
    async ({ whole, who, record }, reply, request) => {
      const goal = readGoal(request)
      const isLines = NDJSON.has(mediaType(request))
      if (!isLines && !/[/+]json$/.test(mediaType(request))) throw new GatewayRefusal('collect_media_type_unsupported')
      const { bytes } = await whole()
      if (who.auth === 'hmac') checkSignature(String(request.headers[SIGNATURE]), secret!, bytes)
      const text = textOf(bytes)
      const received = isLines
        ? text.split('\n').flatMap((line, i) => {
            const at = `line ${i + 1}`
            return line.trim() === '' ? [] : mapInput(mapping, parseAt(line, at, parseForeign), request.headers, at)
          })
        : mapInput(mapping, parseForeign(text), request.headers)
      if (received.length === 0) throw new GatewayRefusal('mapping_empty')
      checkCount(received, deps.limits.bodyEvents)
      const events = await record(received, bytes.length)
      const { status, reached } = await reachGoal(goal, events, deps)
      return reply.code(status).send({ ...aboutEvents(deps, reached), events })
    },
    (request) => {
      const isSigned = request.headers[SIGNATURE] !== undefined && request.headers.authorization === undefined
      // Until its body is there, this is a claim, which takes of that emitter's share and no more.
      if (signer !== null && isSigned) return { emitter: signer, auth: 'hmac', credential: null }
      return deps.authenticate(request.raw, isSocket)
    },
  )
}

function checkSignature(given: string, secret: string, bytes: Buffer): void {
  const expected = Buffer.from(`sha256=${createHmac('sha256', secret).update(bytes).digest('hex')}`)
  const shown = Buffer.from(given)
  if (shown.length !== expected.length || !timingSafeEqual(shown, expected))
    throw new GatewayRefusal(
      'emitter_unknown',
      'The signature of the body is not by the secret that the mapping names.',
    )
}

function readSecret(path: string): string {
  try {
    const secret = readFileSync(path, 'utf8').trim()
    if (secret.length >= 16) return secret
  } catch (error) {
    throw new GatewayStartError('gateway_start_failed', `${path} cannot be read: ${(error as Error).message}`)
  }
  throw new GatewayStartError('gateway_start_failed', `The secret in ${path} must have at least 16 characters.`)
}
