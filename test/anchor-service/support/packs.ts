// Alters stored events in their packs, as somebody who owns the database could.
import { zstdCompressSync } from 'node:zlib'
import { readBody } from '../../../anchor-service/src/ledger/packs/read-pack.ts'
import { queryAsOwner } from '../../support/postgres.ts'

/** The number of an event in the log, by its place in its stream. */
export async function numberOf(databaseUrl: string, source: string, seq: number): Promise<number> {
  const [row] = await queryAsOwner<{ number: string }>(
    databaseUrl,
    `select first_event + $2 - seq as number from killick.batches where source = $1 and seq <= $2 order by seq desc limit 1`,
    [source, seq],
  )
  return Number(row!.number)
}

/** Rewrites the token of an event; `tokens` are those of all events in its pack, and `i` is its place among them. */
export async function alterToken(
  databaseUrl: string,
  number: number,
  alter: (token: string, tokens: readonly string[], i: number) => string,
): Promise<void> {
  const pack = 'killick.packs where first_event <= $1 order by first_event desc limit 1'
  const [row] = await queryAsOwner<{ first: string; pos: number; body: Buffer }>(
    databaseUrl,
    `select first_event as first, pos, body from ${pack}`,
    [number],
  )
  const tokens = (await readBody(row!.body))!.toString('latin1').trimEnd().split('\n')
  const header = row!.pos === 0 ? [tokens.shift()!] : []
  const i = number - Number(row!.first)
  tokens[i] = alter(tokens[i]!, tokens, i)
  const body = zstdCompressSync(Buffer.from(`${[...header, ...tokens].join('\n')}\n`, 'latin1'))
  await queryAsOwner(
    databaseUrl,
    `set session_replication_role = replica;
     update killick.packs set body = decode('${body.toString('hex')}', 'hex'), frame_ends = '{}' where first_event = ${row!.first}`,
  )
}

/** The JWS of a token, or its payload; and its disclosures, each with its "~". */
export function partsOf(token: string): { jws: string; disclosures: string } {
  const cut = token.indexOf('~')
  return { jws: token.slice(0, cut), disclosures: token.slice(cut + 1) }
}

/** The text with one character changed for another that may stand there. */
export const swapAt = (text: string, at: number) =>
  text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1)
