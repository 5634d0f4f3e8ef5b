// What the program says of itself, and of how it is called.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

const MAIN = new URL('../../gateway/src/main.ts', import.meta.url).pathname
function gateway(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], { encoding: 'utf8' })
  return { status, stdout, stderr }
}

test('help and version are told beside any command, and nothing else is done', () => {
  const help = gateway('--help')
  expect(help).toMatchObject({ status: 0, stderr: '' })
  for (const args of [['help'], ['http', '--help'], ['mcp', '-h', '--', 'no-such-program']])
    expect(gateway(...args)).toEqual(help)
  const ofChanges = gateway('changes', '--help')
  expect(ofChanges).toMatchObject({ status: 0, stderr: '' })
  expect(ofChanges.stdout).toContain('verify')
  const { version } = JSON.parse(readFileSync(new URL('../../gateway/package.json', import.meta.url), 'utf8'))
  expect(gateway('--version')).toEqual({ status: 0, stdout: `${version}\n`, stderr: '' })
})

test('a command that is called wrongly is not called unknown', () => {
  expect(gateway('collect').stderr).toMatch(/^"collect" is not how collect is called/)
  expect(gateway('dance').stderr).toMatch(/^Unknown command "dance"/)
  // What follows -- is the other program's.
  expect(gateway('mcp', '--config', '/no/such', '--', 'x', '--help')).toMatchObject({ status: 1, stdout: '' })
})
