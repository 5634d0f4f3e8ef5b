import type { Config } from '../config.ts'
import { keepOrders } from '../erasure/kept-orders.ts'
import { StartError } from '../errors.ts'
import type { WentBack } from '../ledger/head-memory.ts'
import type { SignedHead } from '../ledger/tree/checkpoints.ts'
import { openStore } from '../open-store.ts'

/**
 * `accept-head`: compares the data folder's memory of the log's newest head with the database, and explains the difference. With
 * `isSure` the log goes on from the database's head, and an event records that.
 *
 * @returns what to print
 * @throws StartError if there is something to decide and `isSure` is false; then nothing was changed
 */
export async function acceptHead(config: Config, isSure: boolean): Promise<string> {
  const store = await openStore(config)
  try {
    const { ledger } = store
    const fault = await ledger.checkHead()
    const orders = keepOrders(store.pool, config.dataFolder)
    // Whoever was interrupted behind the decision has not read what is to be done next.
    if (fault === null) return `${NOTHING}${(await orders.lost()).length > 0 ? ERASE : ''}`
    if (!isSure) throw new StartError(`${describe(fault)}\n\n${DECIDE}`)
    await ledger.acceptHead()
    const head = (await ledger.head())!
    const lost = await orders.lost()
    return `${describe(fault)}\n\nAccepted, and recorded as the event log.accept-head. The log goes on at ${head.size} entries.\n${AGAIN}${ANCHORED}${lost.length > 0 ? ERASE : ''}`
  } finally {
    await store.close()
  }
}

function describe({ remembered, found }: WentBack): string {
  return `Signed last, as this data folder knows:
${indented(remembered)}
In the database:
${found === null ? '  nothing: the log is empty' : indented(found)}

The second does not continue the first. Entries that were accepted, and for which receipts were given, are missing from the
database or are others now: it was restored from an older copy, has lost its end, or somebody has cut it off.`
}

const NOTHING = 'The log in the database continues what was signed. There is nothing to accept.\n'

const DECIDE = `Nothing was changed. If you have the missing entries (a replica, an archive, a newer copy), restore them: the service then goes
on by itself. To go on without them:

    killick-anchor-service accept-head --yes

Then this log's key will have signed two histories. Whoever holds a receipt or a checkpoint of the first can prove that, and
recorders that had sent the missing events stop with log_forked. What was anchored of the first cannot be anchored over: while a
contract holds more entries than the database, no batch is taken, until the log goes on under another publisher.
Keep a copy of the database and of the data folder as they are before you decide.`

const AGAIN = `
What was decided in the missing entries does not count any more: links that were withdrawn open again, keys that were ended sign again, and
holds, policies, catalogues and pruning are as they were. See to that before others get to the service.
`

const ANCHORED = `
While a contract holds more entries than that, no batch is taken: then let the log go on under another publisher, with a new chain key and
killick-anchor-service succeed.
`

const ERASE = `
Orders of erasure are among what is missing. Before the service starts, run: killick-anchor-service erase --after-restore
`

const indented = ({ size, note }: SignedHead) =>
  `  ${size} entries\n${note
    .trimEnd()
    .split('\n')
    .map((line) => `  | ${line}`)
    .join('\n')}`
