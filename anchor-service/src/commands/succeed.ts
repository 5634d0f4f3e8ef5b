import { equalBytes, printHash } from '@killick/sdk/core'
import { logIdOf, openChain } from '../anchor/chain/chain.ts'
import { openSigner } from '../anchor/chain/open-signer.ts'
import { nodesOf } from '../anchor/settings.ts'
import type { Config } from '../config.ts'
import type { Db } from '../database/pool.ts'
import { StartError } from '../errors.ts'
import { readLastAnchor, readStated, SUCCEED } from '../ledger/read/successions.ts'
import type { StoredAnchor } from '../ledger/registry/anchors.ts'
import { AlreadyRecorded } from '../ledger/registry/erasures.ts'
import { readRoot } from '../ledger/tree/tiles.ts'
import { openStore } from '../open-store.ts'
import { explained } from './explained.ts'

/**
 * `succeed`: states, with the log's key, that the contract log to which the configuration anchors succeeds one whose chain key
 * was stolen or lost. The last honest anchor is the newest one that this ledger has confirmed, whose root its own entries hash
 * to, and that the contract still holds. What was stated before is not stated again.
 *
 * @param logId of the log that was left
 * @returns what to print
 * @throws StartError if this cannot be stated, or `isSure` is false; then nothing was changed
 */
export async function succeed(config: Config, logId: string, isSure: boolean): Promise<string> {
  if (!/^0x[0-9a-f]{64}$/.test(logId)) throw new StartError('Usage: killick-anchor-service succeed <log id> [--yes]')
  const [target, ...more] = config.anchor.targets
  if (target === undefined || more.length > 0)
    throw new StartError(
      'This command needs exactly one target, the one to go on with: KILLICK_RPC_URL, KILLICK_CONTRACT and KILLICK_CHAIN_KEY.',
    )
  const signer = await explained(target.name, () => openSigner(target.key))
  const chain = openChain(nodesOf(target))
  const store = await openStore(config)
  try {
    const { ledger } = store
    const to = logIdOf(signer.address, config.origin)
    if (to === logId || target.logId === logId)
      throw new StartError(
        `The configuration still anchors to ${logId}. Set another KILLICK_CHAIN_KEY, and no KILLICK_LOG_ID.`,
      )
    const view = await explained(target.name, () => chain.look(target.contract, logId, signer.address))
    const from = { chainId: view.chainId, contract: target.contract, logId }
    const last = await readLastAnchor(ledger.db, from)
    if (last === null || last.time === null || last.transaction === null || last.block === null)
      throw new StartError(
        `This ledger has confirmed no anchor of ${logId} in ${target.contract} on chain ${view.chainId}.`,
      )
    const { size, root, time, transaction, block } = last
    if (size > ((await ledger.head())?.size ?? 0) || !equalBytes(await readRoot(ledger.db, size), root))
      throw new StartError(
        `The ledger's first ${size} entries do not hash to the anchored root: the ledger was changed, not the chain.`,
      )
    const isHeld = () => chain.isAnchored(target.contract, logId, size, root, time, view)
    if (!(await explained(target.name, isHeld)))
      throw new StartError(
        `The contract does not hold the anchor of ${size} entries. Wait until the chain has settled.`,
      )
    const text = `${describe(last, view.head?.size ?? 0)}\nIt is succeeded by\n  log ${to} of ${signer.address}\n  in ${target.contract} on chain ${view.chainId}\n`
    const note = ledger.log.signSuccession({
      from: { ...from, size, root, time },
      to: { chainId: view.chainId, contract: target.contract, logId: target.logId ?? to },
    })
    // A second one would say the same, and take the place of one of the few statements that are listed.
    const isStated = async (db: Db) => (await readStated(db, ledger.log)).some((stated) => stated.note === note)
    const already = `${text}\nThis is recorded already. Nothing was changed. The statement:\n\n${note}`
    if (await isStated(ledger.db)) return already
    if (!isSure)
      throw new StartError(
        `${text}\nNothing was changed. To state and record this: killick-anchor-service succeed ${logId} --yes`,
      )
    const event = {
      action: SUCCEED,
      actor: { type: 'operator', id: 'succeed' },
      targets: [{ type: 'log', id: config.origin }],
      metadata: { note, transaction, block },
    }
    try {
      // The command may run twice at once: only now nobody else writes to the log.
      await ledger.record(event, async (db) => {
        if (await isStated(db)) throw new AlreadyRecorded()
      })
    } catch (error) {
      if (error instanceof AlreadyRecorded) return already
      throw error
    }
    return `${text}\nRecorded as the event log.succeed, and listed in /v1/log and in proofs. Publish it where people who pinned the old log will see it:\n\n${note}`
  } finally {
    await store.close()
  }
}

function describe({ chainId, contract, logId, size, root, time }: StoredAnchor, held: number): string {
  const after =
    held > size ? `The contract holds ${held} entries now, which this ledger never had or has not confirmed.\n` : ''
  return `Last honest anchor of
  log ${logId}
  in ${contract} on chain ${chainId}
  ${size} entries, root ${printHash(root)}, ${new Date(1000 * time!).toISOString()}
${after}`
}
