// What is made from the table of commands: arguments, help, completion, the manual page.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findTool } from '../../../scripts/lib/tools.ts'
import { COMMANDS } from '../../../sdk/src/cli/table/index.ts'
import { VARIABLES } from '../../../sdk/src/config/config.ts'
import { killick } from './support.ts'

let dir: string
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'killick-table-'))
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const has = (program: Parameters<typeof findTool>[0]) => findTool(program) !== null

test.each(COMMANDS.map(({ name }) => [name]))(
  '%s: its help names every option, and it takes no other',
  async (name) => {
    const entry = COMMANDS.find((each) => each.name === name)!
    const { out } = await killick([name, '--help'])
    for (const option of Object.keys(entry.options)) expect(out).toMatch(new RegExp(`^  --${option}\\b`, 'm'))
    for (const [code] of entry.exits) expect(out).toMatch(new RegExp(`(Exit codes:|·)\\s${code}\\s`))
    const positionals = (entry.arguments ?? []).map(() => 'x')
    const run = await killick([name, ...positionals, '--nonsense'])
    expect(run).toMatchObject({
      code: entry.failure ?? 2,
      out: '',
      err: expect.stringContaining('There is no option --nonsense'),
    })
    expect(await killick(['help', name])).toMatchObject({ code: 0, out })
  },
)

test('what is read from killick.json has its variable too', () => {
  const options = COMMANDS.flatMap((entry) => Object.entries(entry.options))
  for (const [name, { env, config }] of options)
    if (config !== undefined) expect(env, name).toBe(VARIABLES[config as keyof typeof VARIABLES])
})

test('a leaf hash that begins with a dash is no option', async () => {
  const hash = Buffer.alloc(32, 0xfb).toString('base64url')
  const nowhere = ['--url', 'http://127.0.0.1:9', '--token', 'x']
  expect(hash).toMatch(/^-_/)
  for (const args of [
    [hash, ...nowhere],
    [...nowhere, hash],
    [...nowhere, '--', hash],
  ])
    expect(await killick(['proof', ...args])).toMatchObject({ code: 3, err: expect.stringContaining(hash) })
  expect(await killick(['erase', '--event', hash, '--fields', 'all', '--reason', 'r', ...nowhere])).toMatchObject({
    code: 3,
  })
  expect((await killick(['proof', `${hash}x`, ...nowhere])).err).toContain('There is no option')
})

test('of two values none is silently left out', async () => {
  const nowhere = ['--url', 'http://127.0.0.1:9', '--token', 'x']
  const hold = ['holds', '--place', 'C-81', '--reason', 'r', ...nowhere]
  const twice = await killick([...hold, '--target', 'order-1', '--target=order-2'])
  expect(twice).toMatchObject({ code: 2, out: '', err: expect.stringContaining('--target is given twice') })
  expect(await killick([...hold, '--target', 'order-1', '--json', '--json'])).toMatchObject({ code: 3 })
  for (const entry of COMMANDS) {
    const once = Object.entries(entry.options).find(([, { value, repeat }]) => value !== undefined && !repeat)
    const many = Object.entries(entry.options).find(([, { repeat }]) => repeat)
    if (once !== undefined)
      expect((await killick([entry.name, `--${once[0]}`, '1', `--${once[0]}`, '1'])).err).toContain('given twice')
    if (many !== undefined)
      expect((await killick([entry.name, `--${many[0]}`, '1', `--${many[0]}`, '1'])).err).not.toContain('given twice')
  }
})

test('a value that looks like an option is named as what is wrong, in one line', async () => {
  const { code, err } = await killick(['search', '--actor', '--limit', '3'])
  expect({ code, first: err.split('\n')[0] }).toEqual({
    code: 2,
    first: "killick search: Option '--actor' argument is ambiguous",
  })
})

test('a mistyped command or option names the one that was meant', async () => {
  expect((await killick(['verfy'])).err).toMatch(/no command verfy; did you mean verify\?/)
  expect((await killick(['verfy', '--json'])).out).toMatch(/"code": "usage"/)
  expect((await killick(['--json', 'verify'])).out).toMatch(/"code": "usage"/)
  expect((await killick(['help', 'serach'])).err).toMatch(/did you mean search\?/)
  expect((await killick(['verify', 'x', '--rcp=http://a'])).err).toMatch(/no option --rcp; did you mean --rpc\?/)
  expect((await killick(['export', '--ot', 'x'])).err).toMatch(/no option --ot; did you mean --out\?/)
  expect(await killick(['-v'])).toEqual(await killick(['--version']))
})

describe('completion', () => {
  async function script(shell: string): Promise<string> {
    const file = join(dir, `killick.${shell}`)
    writeFileSync(file, (await killick(['completion', shell])).out)
    return file
  }

  test('in bash', async () => {
    const file = await script('bash')
    const complete = (...words: string[]) => {
      const code = `source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _killick; printf '%s\\n' "\${COMPREPLY[@]}"`
      const { stdout, stderr } = spawnSync('bash', ['--norc', '-c', code, file, 'killick', ...words], {
        cwd: dir,
        encoding: 'utf8',
      })
      expect(stderr).toBe('')
      return stdout.trim().split('\n')
    }
    for (const { name, options } of COMMANDS) {
      expect(complete(name)).toContain(name)
      expect(complete(name, '--')).toEqual([...Object.keys(options).map((option) => `--${option}`), '--help'])
    }
    expect(complete('export', '--format', '')).toEqual(['ndjson', 'csv'])
    expect(complete('search', '--outcome', 'd')).toEqual(['denied'])
    writeFileSync(join(dir, 'my trust.json'), '')
    expect(complete('verify', '--trust', 'my')).toEqual(['my trust.json'])
    expect(complete('verify', 'my')).toEqual(['my trust.json'])
    expect(complete('verify', '--rpc', '')).toEqual([''])
  })

  test.skipIf(!has('zsh'))('in zsh, where it is installed: the script is well formed', async () => {
    expect(spawnSync('zsh', ['-n', await script('zsh')], { encoding: 'utf8' })).toMatchObject({ status: 0, stderr: '' })
  })

  test.skipIf(!has('fish'))('in fish, where it is installed', async () => {
    const complete = async (line: string) => {
      const { stdout } = spawnSync(
        'fish',
        ['--no-config', '-c', `source $argv[1]; complete -C $argv[2]`, await script('fish'), line],
        { encoding: 'utf8' },
      )
      return stdout
        .trim()
        .split('\n')
        .map((each) => each.split('\t')[0])
    }
    expect(await complete('killick verif')).toEqual(['verify'])
    expect(await complete('killick verify --tru')).toEqual(['--trust'])
    expect(await complete('killick export --format c')).toEqual(['csv'])
  })

  test('in no other shell', async () => {
    for (const shell of ['tcsh', 'toString'])
      expect(await killick(['completion', shell])).toMatchObject({
        code: 2,
        err: expect.stringContaining('bash, zsh, fish'),
      })
  })
})

describe('the manual page', () => {
  test('has every command and option, and no line that is a macro by accident', async () => {
    const { out } = await killick(['man'])
    for (const { name, options } of COMMANDS) {
      expect(out).toContain(`.SS killick ${name}\n`)
      for (const option of Object.keys(options)) expect(out).toContain(`\\fB\\-\\-${option.replaceAll('-', '\\-')}\\fR`)
    }
    const macros = new Set(out.match(/^\.\S+/gm))
    expect([...macros].sort()).toEqual(['.B', '.EE', '.EX', '.I', '.PP', '.SH', '.SS', '.TH', '.TP'])
  })

  test.skipIf(!has('groff'))('groff, where it is installed, sets it without a warning', async () => {
    const { out } = await killick(['man'])
    const { status, stderr, stdout } = spawnSync('groff', ['-man', '-Kutf8', '-Tutf8', '-ww', '-rLL=100n'], {
      input: out,
      encoding: 'utf8',
    })
    expect([status, stderr]).toEqual([0, ''])
    // biome-ignore lint/suspicious/noControlCharactersInRegex: groff prints styles
    expect(stdout.replace(/\u001b\[\d*m|.\u0008/g, '')).toMatch(/--source-key name=jwk/)
  })
})
