// What of a command line is recorded, and what is not.
import { createHash } from 'node:crypto'
import { compileCommandRedaction, type RedactionRules } from '@killick/sdk/kit'
import { expect, test } from 'vitest'
import { shortenedCommand } from '../../../sdk/src/cli/run/shorten.ts'

const HIDDEN = '[redacted:secret]'
const redact = (command: string[], ...more: string[]) => compileCommandRedaction({ names: more }).command(command)

test.each<[string[], string[]]>([
  [
    ['psql', '--password', 'hunter2', 'db'],
    ['psql', '--password', HIDDEN, 'db'],
  ],
  [
    ['app', '--db-password=hunter2', '-token', 'hunter2'],
    ['app', `--db-password=${HIDDEN}`, '-token', HIDDEN],
  ],
  [
    ['env', 'PGPASSWORD=hunter2;x y', 'psql'],
    ['env', `PGPASSWORD=${HIDDEN}`, 'psql'],
  ],
  [
    ['pg_dump', 'postgres://ada:hunter2@db/x'],
    ['pg_dump', 'postgres://ada:[redacted:url-password]@db/x'],
  ],
  [
    ['pg_dump', 'postgres://ada:hun@ter2@db/x?a=b'],
    ['pg_dump', 'postgres://ada:[redacted:url-password]@db/x?a=b'],
  ],
  [
    ['curl', 'https://a.example/?token=hunter2&page=2'],
    ['curl', `https://a.example/?token=${HIDDEN}&page=2`],
  ],
  [
    ['curl', '-H', 'Authorization: Token hunter2 more', '-u', 'ada:hunter2'],
    ['curl', '-H', `Authorization: ${HIDDEN}`, '-u', `ada:${HIDDEN}`],
  ],
  [
    ['curl', '-d', '{"user":"ada","password":"hun\\"ter2","page":1}'],
    ['curl', '-d', `{"user":"ada","password":${HIDDEN},"page":1}`],
  ],
  [
    [
      'sh',
      '-c',
      "PGPASSWORD='hunter2 x' psql --token hunter2 -d db; curl -H \"X-Api-Key: hunter2\" -H 'Authorization: Token hunter2'; ls",
    ],
    [
      'sh',
      '-c',
      `PGPASSWORD=${HIDDEN} psql --token ${HIDDEN} -d db; curl -H "X-Api-Key: ${HIDDEN}" -H 'Authorization: ${HIDDEN}'; ls`,
    ],
  ],
  [
    ['mysql', '-phunter2', '-p', 'db'],
    ['mysql', `-p${HIDDEN}`, '-p', 'db'],
  ],
  [
    ['sshpass', '-p', 'hunter2', 'ssh', '-p', '22', 'h'],
    ['sshpass', '-p', HIDDEN, 'ssh', '-p', HIDDEN, 'h'],
  ],
  [
    ['mongodump', '-u', 'ada', '-phunter2', '-p', 'hunter2', '--port', '22'],
    ['mongodump', '-u', 'ada', `-p${HIDDEN}`, '-p', HIDDEN, '--port', '22'],
  ],
  [
    ['sqlcmd', '-p', '1', '-P', 'hunter2'],
    ['sqlcmd', '-p', '1', '-P', HIDDEN],
  ],
  [
    ['sudo', '-u', 'ada', 'docker', 'login', '-u', 'ada', '-p', 'hunter2', 'registry.example'],
    ['sudo', '-u', 'ada', 'docker', 'login', '-u', 'ada', '-p', HIDDEN, 'registry.example'],
  ],
  [
    ['docker', 'run', '-p', '8080:80', 'login', '-e', 'A=b'],
    ['docker', 'run', '-p', '8080:80', 'login', '-e', 'A=b'],
  ],
  [
    ['sh', '-c', 'vault login -no-print hunter2 && zip -P hunter2 a.zip b; 7z x -phunter2 a.7z'],
    ['sh', '-c', `vault login -no-print ${HIDDEN} && zip -P ${HIDDEN} a.zip b; 7z x -p${HIDDEN} a.7z`],
  ],
  [
    ['vault', 'login', '-method=userpass', 'username=ada'],
    ['vault', 'login', '-method=userpass', 'username=ada'],
  ],
  [
    ['aws', 'configure', 'set', 'aws_secret_access_key', 'hunter2', '--profile', 'x'],
    ['aws', 'configure', 'set', 'aws_secret_access_key', HIDDEN, '--profile', 'x'],
  ],
  [
    ['git', 'config', '--global', 'x.token', 'hunter2'],
    ['git', 'config', '--global', 'x.token', HIDDEN],
  ],
  [
    ['smbclient', '-U', 'ada%hunter2', '-Uada%hunter2', '//host/50%off'],
    ['smbclient', '-U', `ada%${HIDDEN}`, `-Uada%${HIDDEN}`, '//host/50%off'],
  ],
  [
    ['curl', '--oauth2-bearer', 'hunter2', 'https://example.com'],
    ['curl', '--oauth2-bearer', HIDDEN, 'https://example.com'],
  ],
  [
    ['openssl', 'rsa', '-passin', 'pass:hunter2'],
    ['openssl', 'rsa', '-passin', HIDDEN],
  ],
  [
    [
      'sudo',
      'curl',
      '-sSu',
      'ada:hunter2',
      '--user=ada:hunter2',
      '-uada:hunter2',
      '-HAuthorization: Token hunter2 more',
    ],
    [
      ...['sudo', 'curl', '-sSu', `ada:${HIDDEN}`, `--user=ada:${HIDDEN}`, `-uada:${HIDDEN}`],
      `-HAuthorization: ${HIDDEN}`,
    ],
  ],
  [
    ['docker', 'run', '--env=PGPASSWORD=hunter2', '--set=db.password=hunter2,a=b', '--//npm/:_authToken=hunter2'],
    ['docker', 'run', `--env=PGPASSWORD=${HIDDEN}`, `--set=db.password=${HIDDEN}`, `--//npm/:_authToken=${HIDDEN}`],
  ],
  [
    [
      'sh',
      '-c',
      'app --verbose --token hunter2 -x; sudo mysql -phunter2 db | ls -p x; sshpass -p "hunter2 x" ssh -p 22',
    ],
    [
      'sh',
      '-c',
      `app --verbose --token ${HIDDEN} -x; sudo mysql -p${HIDDEN} db | ls -p x; sshpass -p "${HIDDEN}" ssh -p ${HIDDEN}`,
    ],
  ],
  [
    [
      'sh',
      '-c',
      "curl -su 'ada:hunter2' -H 'Authorization: Digest a=\"b\", response=\"hunter2\"' h; A_TOKEN='x'hunter2\\ y ls -u a:b",
    ],
    ['sh', '-c', `curl -su 'ada:${HIDDEN}' -H 'Authorization: ${HIDDEN}' h; A_TOKEN=${HIDDEN} ls -u a:b`],
  ],
  [
    ['psql', '-c', "ALTER ROLE ada PASSWORD 'hunter2' LOGIN"],
    ['psql', '-c', 'ALTER ROLE ada [redacted:sql-password] LOGIN'],
  ],
  [
    ['psql', '-c', String.raw`create role ada password'hunter2'; alter role bob password 'hunter2\'`],
    ['psql', '-c', 'create role ada [redacted:sql-password]; alter role bob [redacted:sql-password]'],
  ],
  [
    ['grep', "'password' 'x'"],
    ['grep', "'password' 'x'"],
  ],
  [
    ['mysql', '-e', "CREATE USER ada IDENTIFIED BY 'hunter2' ACCOUNT LOCK"],
    ['mysql', '-e', 'CREATE USER ada [redacted:sql-password] ACCOUNT LOCK'],
  ],
  [
    ['mysql', '-e', "alter user ada identified with caching_sha2_password by 'hunter2'"],
    ['mysql', '-e', 'alter user ada [redacted:sql-password]'],
  ],
  [
    ['mysql', '-e', "SET PASSWORD FOR 'ada'@'%' = 'hunter2'"],
    ['mysql', '-e', 'SET [redacted:sql-password]'],
  ],
])('%j', (command, recorded) => {
  const { command: redacted, removals } = redact(command)
  expect(redacted).toEqual(recorded)
  const places = recorded.flatMap((text, i) => (text.includes('[redacted:') ? [`/command/${i}`] : []))
  expect([...new Set(removals.map(({ path }) => path))]).toEqual(places)
})

test('what is no secret stays', () => {
  const command = ['ssh', '-p', '22', '--no-password', 'host', '--password-file=/x', '--tokens', '5', 'NOTE=a: b', '']
  expect(redact(command)).toEqual({ command, removals: [] })
})

test('names that the caller gives', () => {
  expect(redact(['x', '-P', 'hunter2', '-Phunter2', '--seed=hunter2'], '-P', 'seed').command).toEqual([
    ...['x', '-P', HIDDEN, `-P${HIDDEN}`, `--seed=${HIDDEN}`],
  ])
})

test('a hostile argument takes time in proportion to its length', () => {
  const start = process.cpuUsage()
  for (const part of [
    'x://a:',
    'a=',
    'curl ',
    '-u a:',
    "'cookie:",
    'token: token: ',
    '--token ',
    '--a ',
    'password:',
    '"',
    "token='",
    'a.',
  ])
    redact(['x', part.repeat(131_072 / part.length)])
  const { user, system } = process.cpuUsage(start)
  expect((user + system) / 1000).toBeLessThan(2000)
})

test('a long command line is cut, and says so', () => {
  const command = ['x', 'é'.repeat(5000), ...Array.from({ length: 100_000 }, (_, i) => `file-${i}`)]
  const { command: kept, cut } = shortenedCommand(command)
  expect(kept[1]).toMatch(/^é{4096}… \[cut: 5000 characters, SHA-256 [0-9a-f]{64}\]$/)
  expect(Buffer.byteLength(JSON.stringify(kept))).toBeLessThan(50_000)
  const sha256 = createHash('sha256').update(JSON.stringify(command)).digest('hex')
  expect(cut).toEqual({ arguments: 100_002, sha256 })
  expect(shortenedCommand(['x', 'y'])).toEqual({ command: ['x', 'y'], cut: null })
})

test('rules of one’s own neither take the place of those for URLs, nor double them', () => {
  const url = ['psql', 'postgres://ada:hunter2@db/x']
  for (const rules of [[], [{ name: 'own', detect: ['urlPassword'] }]] satisfies RedactionRules[])
    expect(compileCommandRedaction({ rules }).command(url).removals).toHaveLength(1)
  expect(() => compileCommandRedaction({ rules: [{ name: 'url-password', values: [/x/] }] })).toThrow('another rule')
})
