import { keccak256 } from 'ethers'
import { expect, test } from 'vitest'
import { compileContract } from '../../scripts/artifact.ts'
import { anchorLog, openChain } from '../support/chain.ts'

test('the committed artifact is what the sources compile to', async () => {
  expect(anchorLog).toEqual(await compileContract('contracts/AnchorLog.sol', 'AnchorLog'))
}, 30_000)

test('the code on chain has the published hash', async () => {
  const chain = await openChain()
  const address = await chain.deploy(anchorLog)
  const code = await chain.provider.getCode(address)
  expect(code).toBe(anchorLog.deployedBytecode)
  expect(keccak256(code)).toBe(anchorLog.codeHash)
  const { codeHash } = await chain.provider.send('eth_getProof', [address, [], 'latest'])
  expect(codeHash).toBe(anchorLog.codeHash)
  await chain.close()
})

test('the code can neither call other contracts nor change itself', () => {
  // Looks at opcodes outside push data: an absent opcode cannot run. STATICCALL calls the SHA-256 precompile.
  const opcodes = new Set<number>()
  const code = Buffer.from(anchorLog.deployedBytecode.slice(2), 'hex')
  for (let i = 0; i < code.length; i++) {
    const opcode = code[i]!
    opcodes.add(opcode)
    if (opcode >= 0x60 && opcode <= 0x7f) i += opcode - 0x5f
  }
  const forbidden = { CREATE: 0xf0, CALL: 0xf1, CALLCODE: 0xf2, DELEGATECALL: 0xf4, CREATE2: 0xf5, SELFDESTRUCT: 0xff }
  expect(Object.entries(forbidden).filter(([, opcode]) => opcodes.has(opcode))).toEqual([])
  expect(opcodes.has(0xfa)).toBe(true)
})
