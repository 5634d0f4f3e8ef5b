// The tutorial, followed literally: each line in a shell, in a project outside of the repository, with the packed packages.
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ADMIN, READER, type TestService, testService } from '../anchor-service/support/service.ts'
import { ENV, installTools, runtime } from '../outside/tools.ts'
import { type LocalChain, startChain } from '../support/local-chain.ts'
import { packed } from '../support/packed.ts'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../..', import.meta.url))

let folder: string
let chain: LocalChain
let service: TestService

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'killick-tutorial-'))
  chain = await startChain()
  // What `npm start` runs, in `killick` beside the project.
  service = await testService({
    KILLICK_RPC_URL: chain.url,
    KILLICK_CONTRACT: await chain.deployAnchorLog(),
    KILLICK_CHAIN_KEY: chain.key(1),
    KILLICK_ANCHOR_INTERVAL_MS: '100',
    KILLICK_CONFIRMATIONS: '1',
  })
  const keys = join(folder, 'killick/data/keys')
  await mkdir(keys, { recursive: true })
  for (const [name, token] of Object.entries({ admin: ADMIN, reader: READER }))
    await writeFile(join(keys, `${name}.token`), `${token}\n`, { mode: 0o600 })
}, 120_000)

afterAll(async () => {
  await service?.stop()
  await chain?.stop()
  await rm(folder, { recursive: true, force: true })
})

/** The page's blocks, in order: what is run, what is written, and what is then shown. */
async function readSteps(): Promise<{ language: string; name: string; text: string }[]> {
  const page = await readFile(join(root, 'docs/tutorial.md'), 'utf8')
  return [...page.matchAll(/^```(\w+) ?(\S*)\n([\s\S]*?)^```$/gm)].map(([, language, name, text]) => ({
    ...{ language: language!, name: name!, text: text! },
  }))
}

/** A line of output as the page has it, where … stands for anything. */
const pattern = (line: string) =>
  new RegExp(
    `^${line
      .split('…')
      .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
      .join('.*')}$`,
    'm',
  )

test('each line runs, and shows what the page says', async () => {
  const tools = await installTools()
  const node = (tools && runtime(tools, 'node22')) ?? process.execPath
  const { sdk } = await packed()
  const steps = await readSteps()
  expect(steps.filter(({ language }) => language === 'sh').length).toBeGreaterThan(5)
  // One shell for all: the page exports variables, and changes into the project.
  const script = steps.flatMap(({ language, name, text }, i) => {
    if (name === 'terminal') return []
    if (language === 'js') return [`cat > ${name} <<'END OF FILE'\n${text}END OF FILE`]
    if (language === 'sh') return [`echo "=== ${i}"`, text]
    return []
  })
  const localized = script
    .join('\n')
    .replaceAll('http://127.0.0.1:8787', service.url)
    .replace('npm install @killick/sdk', `npm install --prefer-offline --no-audit --no-fund ${sdk}`)
  const env = { ...ENV, PATH: `${join(node, '..')}:${process.env.PATH}` }
  const { stdout, stderr } = await run('bash', ['-euo', 'pipefail', '-c', localized], { cwd: folder, env })
  expect(stderr).not.toMatch(/Warning| {4}at /)

  const shown = new Map(stdout.split(/^=== /m).map((part) => [Number.parseInt(part, 10), part]))
  for (const [i, { language, text }] of steps.entries()) {
    if (language !== 'text') continue
    const ran = Math.max(...[...shown.keys()].filter((step) => step < i))
    for (const line of text.trimEnd().split('\n')) expect(shown.get(ran)).toMatch(pattern(line))
  }

  // The bar: from an empty folder to a verified proof in four commands that a person types, and one more to record.
  const [, project] = steps.filter(({ language }) => language === 'sh')
  expect(project!.text.trim().split('\n').length).toBeLessThanOrEqual(4)
}, 300_000)
