/** English for verdicts. It is the default of `inWords`, and what the command line prints. */
import type {
  ErasureFault,
  ErasureWord,
  KeyFindings,
  NodeSilence,
  RegistrationFault,
  Unreadable,
} from '../verify/values.ts'
import type { VerdictWords } from './language.ts'

/** How times (ISO 8601 in UTC) and numbers are printed in sentences. */
export type Print = {
  /** Prints a time, given as ISO 8601 in UTC. */
  readonly time: (iso: string) => string
  /** Prints a whole number from 0. */
  readonly number: (value: number) => string
}

/**
 * The English words for verdicts. Values that come from others, such as names or a node's answer, are inserted unchanged.
 * @param print how times and numbers are printed; default: times as they are, and plain digits
 */
export function english({ time, number }: Print = { time: (iso) => iso, number: String }): VerdictWords {
  const unread = { part_unreadable: 'A part that this rests on could not be read' }
  const unasked = {
    not_asked: 'No node was asked',
    node_unreadable: ({ node, said }: NodeSilence) => `${node}: ${said}`,
  }
  const denied = {
    code_foreign: ({ contract }: { readonly contract: string }) =>
      `The code at ${contract} is not the published contract`,
    not_held: 'The contract does not hold this root at this size and time: forged, or reorganised away',
  }
  const signed: Pick<
    VerdictWords['details']['batch.signature'],
    'ok' | 'key_absent' | 'key_mismatch' | 'signature_invalid'
  > = {
    ok: ({ alg, kid }) => `${alg} by key ${kid}`,
    key_absent: ({ kid }) => `The proof holds no key named ${kid}`,
    key_mismatch: ({ alg }) => `The key is not one for ${alg}`,
    signature_invalid: ({ kid }) => `The signature does not verify under key ${kid}`,
  }
  const besides = (names: readonly string[]) => (names.length > 0 ? `; not read: ${names.join(', ')}` : '')
  const blockOf = ({ block }: { readonly block: number }) => `Block ${block} has another time, or lacks the transaction`

  function keyFindings({ keys, expired, expiredAt }: KeyFindings): string {
    const late = (what: string) =>
      `${what} was, by the anchors around it, used outside the time for which it was registered`
    return [
      ...(expiredAt === null ? [] : [late(`The key of the ledger that signed log entry ${number(expiredAt)}`)]),
      ...(expired === null ? [] : [late(`Key ${expired}`)]),
      ...keys.map(
        ({ kid, entry, since }) =>
          `key ${kid} registered at log entry ${number(entry)}, ${since ? `anchored since ${time(since)}` : 'not shown to be anchored'}`,
      ),
    ].join('; ')
  }

  const entryOf = ({ logIndex, at, reason, legalBasis, order, policy, confirmed }: ErasureWord) =>
    `log entry ${number(logIndex)} at ${time(at)}${
      policy ? `, by policy ${policy.id}, version ${policy.version}` : order === null ? '' : `, by order ${order}`
    }${confirmed ? `, ordered by ${confirmed.orderedBy} and confirmed by ${confirmed.confirmedBy}` : ''}${legalBasis === null ? '' : ` (${legalBasis})`}: ${reason}`
  const fieldsOf = ({ count }: ErasureWord) => `${number(count)} ${count === 1 ? 'field' : 'fields'}`
  const erasure = (word: ErasureWord) => `${fieldsOf(word)} ${word.policy ? 'expired' : 'erased'} by ${entryOf(word)}`

  function erasureFault(fault: ErasureFault): string {
    if (fault.what === 'unreadable') return refused(fault.refusal)
    const entry = `log entry ${number(fault.entry)}`
    return {
      no_order: `${entry} orders no erasure`,
      not_alone: `${entry} is not the batch of its event`,
      other_log: `the checkpoint over ${entry} is not one that this log has signed`,
      not_in_log: `the path does not lead from ${entry} to its checkpoint, or it stands before the event`,
      not_listed: `${entry} does not name these fields of this event`,
      not_hidden: `${entry} names a field that is shown, or that is not the event's`,
    }[fault.what]
  }

  return {
    titles: {
      'event.form': 'The event is whole, and each field shown is one that was recorded',
      'event.fields': 'Everything that was recorded is shown',
      'event.erasure': 'What was erased was erased by an order in the log',
      'event.signature': 'The source signed the event',
      'event.time': 'The times it claims fit the anchors around it',
      'batch.signature': 'The source signed the batch',
      'batch.inclusion': 'The event stands at its place in the batch',
      'source.key': 'The source’s key is one that you trust',
      'source.registration': 'The log says whose key it is, from before it was used',
      'log.inclusion': 'The batch stands at its place in the log',
      'log.signature': 'The log signed its checkpoint, with a key that you trust',
      anchor: 'The log is anchored on a chain',
      'anchor.path': 'The anchored root covers the batch',
      'anchor.contract': 'The contract on chain holds this root',
      'anchor.block': 'The anchor is in the block that the proof names',
      'anchor.final': 'The block can no longer be reorganised away',
      'anchor.log': 'Contract and log are the ones that you trust',
      'anchor.before': 'The anchor before does not cover the batch yet',
    },
    details: {
      'event.form': {
        ok: ({ shown, fields }) => `${number(shown)} of ${number(fields)} fields shown`,
        malformed: refused,
      },
      'event.fields': {
        ...unread,
        ok: () => 'Every field is shown',
        fields_hidden: ({ hidden, fields }) => `${number(hidden)} of ${number(fields)} fields are not shown`,
        fields_erased: ({ erased, hidden, fields }) =>
          `${number(erased)} of ${number(fields)} fields were erased, by orders in the log${
            hidden > erased ? `; ${number(hidden - erased)} more are not shown` : ''
          }`,
        fields_expired: ({ erased, hidden, fields }) =>
          `${number(erased)} of ${number(fields)} fields have expired, by a policy in the log${
            hidden > erased ? `; ${number(hidden - erased)} more are not shown` : ''
          }`,
        fields_missing: ({ missing, hidden, fields }) =>
          `By the word of this proof the ledger no longer holds ${number(missing)} of ${number(fields)} fields; ${number(hidden)} of ${number(fields)} fields are not shown in all`,
        malformed: ({ missing, hidden }) =>
          `The proof says that ${number(missing)} fields are gone, and only ${number(hidden)} are not shown`,
      },
      'event.erasure': {
        ...unread,
        ok: ({ erasures }) => erasures.map(erasure).join('; '),
        not_pinned: ({ erasures }) =>
          `By the word of this proof alone, as no key of the log is pinned, this is why fields are not shown: ${erasures.map((word) => `${fieldsOf(word)}, ${entryOf(word)}`).join('; ')}`,
        erasure_invalid: (fault) => `An erasure does not hold: ${erasureFault(fault)}`,
      },
      'event.signature': {
        ...unread,
        ...signed,
        batch_signed: 'This source signs batches, not single events: the batch signature speaks for it',
      },
      'event.time': {
        ...unread,
        ok: ({ recordedAt, after, by }) =>
          `Said to be recorded at ${time(recordedAt)}; ${after === null ? 'no earlier anchor bounds it' : `its entry not yet in the log as anchored at ${time(after)}`}; in the log by ${time(by)}`,
        time_outside: ({ side, recordedAt, bound, tolerance }) =>
          side === 'before'
            ? `Said to be recorded at ${time(recordedAt)}, and its entry was not yet in the log as anchored at ${time(bound)}, more than ${number(tolerance)} seconds later`
            : `A time that it claims is more than ${number(tolerance)} seconds after ${time(bound)}, when it was in the log`,
        time_unbounded: 'No anchor that the chain confirms bounds the time',
      },
      'batch.signature': { ...signed, malformed: refused },
      'batch.inclusion': {
        ...unread,
        ok: ({ index, size }) => `Place ${number(index)} of ${number(size)}`,
        place_mismatch: (found) =>
          found.what === 'stream'
            ? 'Event and batch are of different streams'
            : `Event ${number(found.seq)} does not stand at place ${number(found.index)} of a batch that begins at ${number(found.first)}`,
        path_invalid: 'The path does not lead from the event to the root in the batch header',
      },
      'source.key': {
        ...unread,
        ok: ({ source }) => `Pinned for ${source}`,
        key_mismatch: 'The keys in the proof are not exactly those that signed',
        not_pinned: ({ source }) => `No key of ${source} was pinned: that it signed is the log operator's word`,
        pin_mismatch: ({ source }) => `Signed by a key that is not among the ones pinned for ${source}`,
        pin_expired: 'By the anchors around it, it was signed outside the time for which the key was pinned',
        pin_time_open: 'Whether it was signed within the time for which the key was pinned cannot be told',
      },
      'source.registration': {
        part_unreadable: 'The event has not been shown to be in the log',
        ok: keyFindings,
        not_pinned: 'No pinned key or contract vouches for the log that registers it',
        registration_absent: 'The proof carries no registration of the key',
        registration_invalid: (fault) => `A registration does not hold: ${registrationFault(fault)}`,
        registration_late: ({ kid, source, entry }) =>
          `Key ${kid} was not registered for ${source} before entry ${number(entry)}`,
        registration_gap: (found) => `A registration is missing between those carried; ${keyFindings(found)}`,
        registration_expired: keyFindings,
      },
      'log.inclusion': {
        ...unread,
        ok: ({ index, size, origin }) => `Entry ${number(index)} of ${number(size)} in ${origin}`,
        malformed: refused,
        place_mismatch: 'The checkpoint is of another log or another size',
        path_invalid: 'The path does not lead from the batch to the root of the checkpoint',
      },
      'log.signature': {
        ok: ({ name, unread }) => `Signed by ${name}${besides(unread)}`,
        not_pinned: ({ unread }) =>
          `No log key was pinned${unread.length > 0 ? ` that can be checked${besides(unread)}` : ''}`,
        signature_invalid: ({ name }) => `The note’s signature by ${name} does not verify`,
        pin_mismatch: ({ origin, signed }) =>
          signed ? `No pinned key is named ${origin}` : 'No signature on the note is by a known key',
        malformed: refused,
      },
      anchor: { not_anchored: 'Not anchored yet' },
      'anchor.path': {
        ...unread,
        ok: ({ index, size, same }) =>
          same ? `The root of the checkpoint of ${number(size)}` : `Entry ${number(index)} of ${number(size)}`,
        path_invalid: ({ same }) =>
          same
            ? 'The anchored root is not the root of the checkpoint of the same size'
            : 'The path does not lead from the batch to the anchored root',
      },
      'anchor.contract': {
        ...unasked,
        ...denied,
        ok: ({ contract, chainId, node }) => `${contract} on chain ${chainId}, read from ${node}`,
      },
      'anchor.block': {
        ...unasked,
        ok: ({ block }) => `Block ${block}`,
        block_pruned: 'The node does not have that block, or no longer; the contract itself speaks for root and time',
        block_mismatch: blockOf,
      },
      'anchor.final': {
        ...unasked,
        ok: ({ confirmations, needed }) =>
          confirmations === null
            ? 'The chain has finalized it'
            : `${confirmations} confirmations; ${needed} were asked for`,
        not_final: ({ confirmations, needed }) =>
          confirmations === null
            ? 'The chain has not finalized it yet'
            : `Only ${confirmations} of ${needed} confirmations yet`,
      },
      'anchor.log': {
        ...unasked,
        ...denied,
        ok: 'Pinned',
        not_pinned: 'No contract was pinned',
        other_pinned: 'Not among the pinned ones',
        pin_mismatch: 'Another contract, chain or log than the pinned ones',
        succession_invalid: (found) =>
          found.what === 'unreadable'
            ? `The statement that it succeeds another log does not hold: ${refused(found.refusal)}`
            : found.what === 'other_logs'
              ? 'The statement of succession is about other logs'
              : 'What is anchored does not extend the last honest anchor of the log before',
        succeeded: ({ steps, lies, size, time: at }) =>
          `It succeeds the pinned log${steps === 1 ? '' : ` by way of ${steps - 1} more`}, on the publisher’s word; the entry lies ${lies} the last honest anchor of that (${number(size)} entries, ${time(at)})`,
      },
      'anchor.before': {
        ...unasked,
        ...denied,
        ok: ({ size }) => `The log had ${number(size)} entries as anchored then`,
        order_mismatch: 'The anchor before is not earlier, or covers the entry',
        block_mismatch: blockOf,
      },
    },
    missing: {
      anchor: 'an anchor: the event is not anchored yet',
      chain: 'an answer from the chain about the anchor',
      source_key: 'a pinned key of the source',
      key_time: 'anchors that tell whether the key was used within the time for which you pinned it',
      log_key: 'a pinned key of the log',
      contract: 'a pinned contract and log id, confirmed by the chain',
    },
    restsOn: {
      source_key: 'the log operator’s word on which key is the source’s',
      key_time: 'the log operator’s word on when the key was used',
      log: 'the proof’s own word on which log this is',
      history: 'the log operator’s word that the past was not rewritten',
      contract: 'the proof’s own word on which contract to ask',
      succession: 'the publisher’s word that this log succeeds the one that you pinned',
    },
  }
}

const refused = ({ message }: Unreadable) => message.replace(/\.$/, '')

function registrationFault(fault: RegistrationFault): string {
  switch (fault.what) {
    case 'unreadable':
      return refused(fault.refusal)
    case 'not_first':
      return 'the first is not the ledger’s own, which is the first entry of the log'
    case 'out_of_order':
      return `entry ${fault.entry} is out of order, or signed by no registered key`
    case 'registers_nothing':
      return `entry ${fault.entry} registers nothing`
    case 'not_alone':
      return `entry ${fault.entry} is not the batch of its event`
    case 'other_source':
      return `entry ${fault.entry} is of another source`
    case 'path':
      return `the path does not lead from entry ${fault.entry} to the root`
    case 'not_signed':
      return `entry ${fault.entry} is not signed by a key of the ledger that is registered before it`
  }
}
