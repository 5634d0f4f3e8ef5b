import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { KillickError } from '../../core/errors.ts'
import type { JsonObject } from '../../core/json.ts'
import { askJson } from '../../http/ask-json.ts'
import { accessOf, withToken } from '../access.ts'
import { type Args, type Command, EXIT, readArgs, required, UsageError } from '../command.ts'
import { ERASE } from '../table/erasing.ts'
import { columns, count, err, json, out, progress } from '../terminal.ts'
import { conditionsOf, isProposal, listOf, numberOf, tellProposed, textOf, textsOf, told, UUID } from './answers.ts'

/** How often to look whether an order was carried out. */
const LOOK_MS = 500

export const erase: Command = {
  run: async (args) => {
    const given = readArgs(ERASE, args)
    const { values } = given
    if (values.confirm !== undefined || values.refuse !== undefined) return decide(given)
    const id = values.id ?? randomUUID()
    if (!UUID.test(id)) throw new UsageError(`--id is no UUID: ${id}`)
    const order = orderOf(given)
    if (values['dry-run'] && values.wait) throw new UsageError('--dry-run changes nothing that --wait could wait for')
    const service = withToken(accessOf(ERASE, given, 'KILLICK_ERASER_TOKEN'))
    if (values['dry-run']) {
      const found = await askJson(service, 'POST', '/v1/erasures', { ...order, dryRun: true })
      if (values.json) out(json(found))
      else tellDryRun(found)
      return EXIT.ok
    }
    const made = await askJson(service, 'POST', '/v1/erasures', { ...order, id }).catch((error) => {
      const isLost = error instanceof KillickError && error.code === 'unreachable'
      throw isLost
        ? new KillickError('unreachable', `${error.message}. Send the order again with --id ${id}: it is made once`)
        : error
    })
    if (isProposal(made)) {
      tellProposed(made, values.json ? json(made) : null)
      return EXIT.ok
    }
    if (!values.json) out(id)
    const [events, entry] = [count(numberOf(made, 'events'), 'event'), numberOf(made, 'logIndex')]
    err(`Fields of ${events} go, by entry ${entry} of the log.`)
    const end = values.wait ? await carriedOut(service, made) : made
    if (values.json) out(json(end))
    err(textOf(end, 'state') === 'done' ? 'It was carried out.' : `It is being carried out: killick erasures ${id}`)
    return EXIT.ok
  },
}

/** Confirms or refuses what somebody proposed. @throws UsageError */
async function decide(given: Args<typeof ERASE.options>): Promise<number> {
  const { values } = given
  const { confirm, refuse, 'dry-run': dryRun, wait } = values
  if (confirm !== undefined && refuse !== undefined) throw new UsageError('--confirm and --refuse are two things to do')
  const id = confirm ?? refuse ?? ''
  if (!UUID.test(id)) throw new UsageError(`${id} is no id of a proposal`)
  if (Object.keys(conditionsOf(values)).length + values.event.length > 0 || values.fields !== undefined)
    throw new UsageError('What goes was said when it was proposed')
  if (refuse !== undefined && (dryRun || wait)) throw new UsageError('--refuse is done at once')
  if (dryRun && wait) throw new UsageError('--dry-run changes nothing that --wait could wait for')
  const body = refuse === undefined ? { ...(dryRun && { dryRun }) } : { reason: required(ERASE, given, 'reason') }
  const service = withToken(accessOf(ERASE, given, 'KILLICK_ERASER_TOKEN'))
  const path = `/v1/proposals/${id}/${refuse === undefined ? 'confirm' : 'refuse'}`
  const found = await askJson(service, 'POST', path, body)
  if (dryRun && !isProposal(found)) {
    if (values.json) out(json(found))
    else tellDryRun(found)
    return EXIT.ok
  }
  const isErasure = !dryRun && refuse === undefined && found.action === 'erasure.order'
  const order = isErasure ? await askJson(service, 'GET', `/v1/erasures/${textOf(found, 'target')}`) : null
  const end = order && wait ? await carriedOut(service, order) : order
  if (values.json) out(json(end ?? found))
  else out(id)
  err(end === null || end.state === 'open' ? told(found) : 'It was carried out.')
  return EXIT.ok
}

function orderOf(given: Args<typeof ERASE.options>): JsonObject {
  const { values } = given
  const conditions = conditionsOf(values)
  const isSearch = Object.keys(conditions).length > 0
  if (isSearch === values.event.length > 0)
    throw new UsageError('Say which events: by conditions such as --actor, or by --event, and not by both')
  const names = required(ERASE, given, 'fields')
    .split(',')
    .filter((name) => name !== '')
  return {
    ...conditions,
    ...(values.event.length > 0 && { ids: [...new Set(values.event)] }),
    fields: names.length === 1 && names[0] === 'all' ? 'all' : names,
    reason: required(ERASE, given, 'reason'),
    ...(values['legal-basis'] !== undefined && { legalBasis: values['legal-basis'] }),
    ...(values.order !== undefined && { order: values.order }),
  }
}

function tellDryRun(found: JsonObject): void {
  const samples = listOf(found, 'samples')
  const [events, fields] = [numberOf(found, 'events'), numberOf(found, 'fields')]
  if (samples.length > 0)
    out(
      columns(
        ['recorded (UTC)', 'source', 'event', 'loses'],
        samples.map((row) => [
          textOf(row, 'recordedAt').slice(0, 19).replace('T', ' '),
          textOf(row, 'source'),
          textOf(row, 'id'),
          textsOf(row, 'fields').join(', '),
        ]),
      ),
    )
  const more = events > samples.length ? ` ${count(events - samples.length, 'event')} more.` : ''
  out(`${count(events, 'event')} would lose ${count(fields, 'field')}.${more} Nothing was changed.`)
  const [held, unreadable] = [numberOf(found, 'held'), numberOf(found, 'unreadable')]
  if (held > 0)
    err(
      `${count(held, 'event')} ${held === 1 ? 'is' : 'are'} held, by ${textsOf(found, 'holds').join(', ')}: the order would be refused.`,
    )
  if (unreadable > 0) err(`${count(unreadable, 'event')} cannot be read: the order would be refused.`)
}

/** Waits until an order was carried out; while the service is away too. */
async function carriedOut(service: Parameters<typeof askJson>[0], made: JsonObject): Promise<JsonObject> {
  const id = textOf(made, 'id')
  const since = performance.now()
  let isAway = false
  const line = progress(() => {
    const how = isAway ? 'ordered, and waiting for the service, which cannot be reached' : 'being carried out'
    return `${how}: ${count(numberOf(made, 'events'), 'event')}, ${Math.round((performance.now() - since) / 1000)} s`
  })
  try {
    for (let now = made; ; ) {
      if (textOf(now, 'state') === 'done') return now
      line.step()
      await sleep(LOOK_MS)
      isAway = false
      now = await askJson(service, 'GET', `/v1/erasures/${id}`).catch((error) => {
        isAway = error instanceof KillickError && error.code === 'unreachable'
        if (isAway) return now
        throw error
      })
    }
  } finally {
    line.done()
  }
}
