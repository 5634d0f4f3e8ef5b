import { spawnSync } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startChild } from '../support/processes.ts'

const url = (path: string) => new URL(`../../${path}`, import.meta.url).href

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'killick-clusters-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const isAlive = (pid: number) =>
  /^[^Z\s]/.test(spawnSync('ps', ['-o', 'stat=', '-p', `${pid}`], { encoding: 'utf8' }).stdout)

test.each([
  ['is interrupted', 'await new Promise(() => {})', { code: 130, signal: null }],
  ['throws', `throw new Error('no such scene')`, { code: 1, signal: null }],
])('a program that %s ends its PostgreSQL, and none of its services starts it again', async (_, end, exit) => {
  const program = await startChild(process.execPath, [
    '--input-type=module',
    '-e',
    `import { readFileSync } from 'node:fs'
     import { endClustersOnExit } from '${url('scripts/lib/clusters.ts')}'
     import { startNode } from '${url('scripts/lib/processes.ts')}'
     import { startCluster } from '${url('anchor-service/src/database/embedded/cluster.ts')}'
     endClustersOnExit('${folder}')
     const service = await startNode(['--input-type=module', '-e', \`
       import { startCluster } from '${url('anchor-service/src/database/embedded/cluster.ts')}'
       await startCluster('${folder}/a/data')
       console.log('service is up')\`])
     await service.printed(/service is up/)
     await startCluster('${folder}/a/data')
     console.log('all is up, as ' + readFileSync('${folder}/a/data/postgres/postmaster.pid', 'utf8').split('\\n')[0])
     ${end}`,
  ])
  // Told by the program itself: one that throws may have ended its server before anybody looks.
  const [, told] = await program.printed(/all is up, as (\d+)/)
  const server = Number(told)
  if (exit.code === 130) {
    expect(isAlive(server)).toBe(true)
    program.process.kill('SIGINT')
  }
  expect(await program.exited).toEqual(exit)
  await expect.poll(() => isAlive(server)).toBe(false)
  // Long enough for one to be started again.
  await new Promise((resolve) => setTimeout(resolve, 300))
  await expect(readFile(join(folder, 'a/data/postgres/postmaster.pid'))).rejects.toThrow('ENOENT')
})
