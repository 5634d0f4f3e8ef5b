// What the program says of itself, and of how it is called.
import { spawnSync } from 'node:child_process'
import { closeSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test, vi } from 'vitest'
import { freePort } from '../../scripts/lib/free-port.ts'
import { startChild } from '../support/processes.ts'
import { NOWHERE, post, prepare, sample } from './support.ts'

const MAIN = fileURLToPath(new URL('../../gateway/src/main.ts', import.meta.url))
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

test('where nothing that it says finds room, it records all the same', async () => {
  const port = await freePort()
  const { folder, config, keys } = await prepare(NOWHERE, {
    listen: { port },
    logLevel: 'info',
    limits: { drainMs: 0 },
  })
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'collector.json')
  writeFileSync(file, JSON.stringify(config))
  const full = openSync('/dev/full', 'w')
  const child = await startChild(process.execPath, [MAIN, 'collect', '--config', file], {
    stdio: ['ignore', full, full],
  })
  onTestFinished(() => child.kill9())
  closeSync(full)
  const url = `http://127.0.0.1:${port}`
  const metrics = () =>
    fetch(`${url}/metrics`).then(
      (response) => response.text(),
      () => '',
    )
  await vi.waitUntil(async () => /^killick_lost_log_lines_total [1-9]/m.test(await metrics()), 20_000)
  const headers = { authorization: `Bearer ${keys.payroll}`, 'content-type': 'application/json' }
  expect((await post(`${url}/v1/events`, JSON.stringify(sample(1)), headers)).status).toBe(200)
  child.process.kill('SIGTERM')
  expect(await child.exited).toEqual({ code: 0, signal: null })
})
