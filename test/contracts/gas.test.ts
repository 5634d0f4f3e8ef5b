import { readFile, writeFile } from 'node:fs/promises'
import { hexlify, id } from 'ethers'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { anchorLog, anchorLogInterface, type Chain, openChain } from '../support/chain.ts'
import { consistencyShape, uniformConsistencyPath, uniformRoot } from '../support/uniform-tree.ts'

const TABLE = new URL('../../contracts/GAS.md', import.meta.url)
/** The most that an anchor of a log with a million entries may cost, whatever was anchored before it. */
const BUDGET = 85_000

let chain: Chain
let contract: string

beforeAll(async () => {
  chain = await openChain()
  contract = await chain.deploy(anchorLog)
})
afterAll(() => chain.close())

/** All gas that a transaction to the contract uses: base cost, calldata and execution. */
async function gasOf(method: string, args: readonly unknown[]): Promise<number> {
  const data = anchorLogInterface.encodeFunctionData(method, args)
  const sent = await chain.signers[0]!.sendTransaction({ to: contract, data })
  const receipt = await sent.wait()
  return Number(receipt!.gasUsed)
}

async function openLog(origin: string): Promise<{ logId: string; gas: number }> {
  const gas = await gasOf('open', [id(origin)])
  const [logId] = anchorLogInterface.decodeFunctionResult(
    'logIdOf',
    await chain.provider.call({
      to: contract,
      data: anchorLogInterface.encodeFunctionData('logIdOf', [chain.signers[0]!.address, id(origin)]),
    }),
  )
  return { logId, gas }
}

const firstAnchor = (logId: string, size: number) =>
  gasOf('anchor', [logId, size, hexlify(uniformRoot(size)), hexlify(uniformRoot(0)), []])

const nextAnchor = (logId: string, oldSize: number, size: number) =>
  gasOf('anchor', [
    logId,
    size,
    hexlify(uniformRoot(size)),
    hexlify(uniformRoot(oldSize)),
    uniformConsistencyPath(oldSize, size).map((node) => hexlify(node)),
  ])

/** The old sizes below `size` whose consistency checks take the median and the most work. */
function typicalAndWorst(size: number): { typical: number; worst: number } {
  // A proof node is 512 gas of calldata; a hash costs about half of that.
  const work = Array.from({ length: size - 1 }, (_, i) => {
    const { nodes, hashes } = consistencyShape(i + 1, size)
    return { oldSize: i + 1, work: 2 * nodes + hashes }
  }).sort((a, b) => a.work - b.work || a.oldSize - b.oldSize)
  return { typical: work[work.length >> 1]!.oldSize, worst: work.at(-1)!.oldSize }
}

/** A Markdown table, its columns padded; the first column to the left, numbers to the right. */
function markdown(header: string[], rows: string[][]): string {
  const widths = header.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]!.length)))
  const line = (cells: string[]) =>
    `| ${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join(' | ')} |`
  const rule = `| ${widths.map((width, i) => (i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`
  return [line(header), rule, ...rows.map(line)].join('\n')
}

test('contracts/GAS.md lists what the contract costs', async () => {
  const number = (n: number) => n.toLocaleString('en')
  const rows: string[][] = []
  const opened = await openLog('first')
  rows.push(['open', '', '', number(opened.gas)])
  rows.push(['anchor, the first', '0', '0', number(await firstAnchor(opened.logId, 1_000))])
  for (const size of [1_000, 100_000, 1_000_000]) {
    for (const [name, oldSize] of Object.entries(typicalAndWorst(size))) {
      const { logId } = await openLog(`${name} ${size}`)
      await firstAnchor(logId, oldSize)
      const gas = await nextAnchor(logId, oldSize, size)
      expect(gas).toBeLessThanOrEqual(BUDGET)
      const { nodes } = consistencyShape(oldSize, size)
      rows.push([`anchor, ${number(size)} entries, ${name}`, number(oldSize), String(nodes), number(gas)])
    }
  }
  const [committed, measured] = [await readFile(TABLE, 'utf8').catch(() => ''), page(rows)]
  if (process.env.UPDATE_GAS) await writeFile(TABLE, measured)
  else expect(committed).toBe(measured)
}, 60_000)

const page = (rows: string[][]) => `# What the contract costs

Gas of whole transactions: base cost, calldata and execution. *Typical* and *worst* are the old sizes below the new one whose
consistency check takes the median and the most work; proof nodes are 32 bytes of calldata each. An anchor of a million entries
has a budget of ${BUDGET.toLocaleString('en')}.

${markdown(['transaction', 'old size', 'proof nodes', 'gas'], rows)}

A test measures this page anew and fails when it differs. To write it:

\`\`\`
UPDATE_GAS=1 npx vitest run test/contracts/gas.test.ts
\`\`\`
`
