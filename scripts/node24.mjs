// Runs a script of this repository on Node 24, whatever Node the shell has:
//
//   node scripts/node24.mjs scripts/start.ts [arguments]
//   node scripts/node24.mjs --installed                    (package.json's postinstall)
//
// An older Node (18 or later) fetches Node 24 through npx, once, and hands over to it. On Node 24 the dependencies are
// brought in step with package-lock.json, and the script runs in this same process. What package.json has as a
// devDependency is installed for scripts that are about this repository, such as its tests, and not for those that run
// Killick. Plain JavaScript, no dependency: this file must work before anything is installed.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs'
import Module from 'node:module'
import { constants } from 'node:os'
import { delimiter, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const MAJOR = 24
/** What is fetched where no Node 24 is at hand: one version, not whichever is newest on the day. */
const VERSION = '24.21.0'
const self = fileURLToPath(import.meta.url)
const root = dirname(dirname(self))
const modules = join(root, 'node_modules')
const stamp = join(modules, '.killick.json')
const platform = `${process.platform}-${process.arch}`
const isNew = Number(process.versions.node.split('.')[0]) >= MAJOR
const [script, ...args] = process.argv.slice(2)
/** Scripts that run Killick, and need nothing else. */
const RUNNING = ['scripts/start.ts', 'sdk/src/cli/main.ts']
const isRunning = RUNNING.includes(script)

if (script === '--installed') writeStamp()
else if (script === undefined) fail('Usage: node scripts/node24.mjs <script> [arguments]')
else if (isNew) runHere(script, args)
else handOver(readStamp().node ?? fetchNode())

function runHere(script, args) {
  // `npx`, `npm` and every script with a `node` shebang that is started from here must find this Node.
  process.env.PATH = [dirname(process.execPath), process.env.PATH].join(delimiter)
  process.chdir(root)
  if (!inStep(isRunning)) install()
  if (readStamp().node !== process.execPath) writeStamp()
  process.argv = [process.execPath, resolve(root, script), ...args]
  Module.runMain() // and not import(): for the script, import.meta.main must hold
}

/**
 * Whether node_modules holds, for this platform, what package-lock.json asks for, or what of it runs Killick; npm notes
 * what it installed in a lock of its own.
 */
function inStep(isPart) {
  try {
    const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages
    const found = JSON.parse(readFileSync(join(modules, '.package-lock.json'), 'utf8')).packages
    const mayLack = ({ optional, dev, devOptional }) => optional || (isPart && (dev || devOptional))
    // Of a package that is a link npm notes that it is there, also where it is not.
    const has = (path, { version }) => found[path]?.version === version && existsSync(join(root, path))
    const same = ([path, entry]) => has(path, entry) || (!existsSync(join(root, path)) && mayLack(entry))
    return readStamp().platform === platform && Object.entries(wanted).every((entry) => entry[0] === '' || same(entry))
  } catch {
    return false
  }
}

/** @returns {{ platform?: string, node?: string }} Dependencies are installed for `platform`; `node` is a Node 24 seen last. */
function readStamp() {
  try {
    const { platform, node } = JSON.parse(readFileSync(stamp, 'utf8'))
    return existsSync(node) ? { platform, node } : { platform }
  } catch {
    return {}
  }
}

/**
 * Runs last in every `npm install` and `npm ci` of this repository, so an interrupted install leaves no stamp. Nor does
 * one by an older Node: npm then leaves out, without a word, the optional packages that ask for a newer one.
 */
function writeStamp() {
  mkdirSync(modules, { recursive: true })
  const found = isNew ? { platform, node: process.execPath } : { node: readStamp().node }
  writeFileSync(stamp, `${JSON.stringify(found)}\n`)
}

function install() {
  // What is there stays as it is where only the rest is missing: a service may be running from it.
  const command = inStep(true) ? 'install' : 'ci'
  process.stderr.write(`Installing the dependencies (npm ${command}) …\n`)
  const started = Date.now()
  const which = isRunning ? '--omit=dev' : '--include=dev'
  const words = [command, which, '--no-audit', '--no-fund']
  // The lock file says what each package must be, so npm need not ask whether what its cache knows of each is still the newest; but
  // its cache may be older than the lock file.
  let npm = run([...words, '--prefer-offline'], npmCli('npm'))
  if (npm.status !== 0) npm = run(words, npmCli('npm'))
  if (npm.status !== 0) {
    process.stderr.write(`${npm.stdout}${npm.stderr}`)
    fail(`npm ${command} failed (its output is above). ${advice(npm)}`)
  }
  if (!inStep(isRunning)) {
    fail('npm skipped the install scripts, and PostgreSQL needs its own: run `npm ci --ignore-scripts=false` once.')
  }
  process.stderr.write(`Installed in ${((Date.now() - started) / 1000).toFixed(1)} s\n`)
}

/**
 * The path of a Node 24: one that npx has at hand already, else `VERSION` from npm's cache or the registry. Asking for the
 * path keeps npx out of the way of signals.
 */
function fetchNode() {
  process.stderr.write(`Node ${process.versions.node} is older than ${MAJOR}: getting Node ${VERSION} through npx …\n`)
  const os = process.platform === 'win32' ? 'win' : process.platform
  const prefix = os === 'darwin' && process.arch === 'arm64' ? 'node-bin' : 'node'
  // The package `node` fetches its binary in an install script, which a strict npm refuses; then the binary's own package.
  let npx
  const wanted = [`node@${MAJOR}`, `node@${VERSION}`, `${prefix}-${os}-${process.arch}@${VERSION}`]
  for (const [i, spec] of wanted.entries()) {
    const known = i === 0 ? ['--offline'] : []
    npx = run(['-y', ...known, '-p', spec, '-c', 'node -p process.execPath'], npmCli('npx'))
    const path = npx.stdout.trim().split('\n').pop()
    if (npx.status === 0 && path && path !== process.execPath && existsSync(path)) return path
  }
  process.stderr.write(npx.stderr)
  fail(`Node ${VERSION} could not be had through npx. ${advice(npx)}`)
}

function handOver(node) {
  const child = spawn(node, ['--disable-warning=ExperimentalWarning', self, script, ...args], { stdio: 'inherit' })
  // A Ctrl-C in a terminal reaches the child by itself too; scripts that stay up take a quick second one as the same press.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.on('error', (error) => fail(`${node} does not start (${error.message}). Remove node_modules and try again.`))
  child.on('exit', (code, signal) => process.exit(code ?? 128 + constants.signals[signal]))
}

/** Runs npm's JavaScript on this very Node: no shell, no quoting, and install scripts see the Node they will run on. */
function run(npmArgs, cli) {
  // What `npm run` tells its scripts about itself would be taken for settings; the registry and the like stay.
  const noise =
    /^(npm_(command|lifecycle|package|node_execpath|execpath)|npm_config_(local_prefix|node_gyp|call|loglevel)|INIT_CWD|NODE_ENV)/
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !noise.test(name)))
  const options = { cwd: root, env, encoding: 'utf8', maxBuffer: 1 << 28, stdio: ['ignore', 'pipe', 'pipe'] }
  return spawnSync(process.execPath, [cli, ...npmArgs], options)
}

/** The JavaScript file of `npm` or `npx`: beside the npm that started us, else beside the one on the PATH. */
function npmCli(name) {
  const starter = process.env.npm_execpath
  const folders = (process.env.PATH ?? '').split(delimiter)
  const candidates = [
    starter?.endsWith('npm-cli.js') && join(dirname(starter), `${name}-cli.js`),
    ...folders.map((folder) => join(folder, name)),
    ...folders.map((folder) => join(folder, 'node_modules/npm/bin', `${name}-cli.js`)),
  ]
  for (const path of candidates) {
    if (path && existsSync(path) && realpathSync(path).endsWith(`${name}-cli.js`)) return realpathSync(path)
  }
  fail(`${name} was not found beside Node or on the PATH: install npm 9 or later, or Node ${MAJOR} from nodejs.org.`)
}

function advice({ stdout, stderr }) {
  if (/ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH|ENOTCACHED/.test(`${stdout}${stderr}`)) {
    return 'The npm registry is out of reach: connect once, or install Node 24 and run npm ci where there is a network.'
  }
  return `Install Node ${MAJOR} from nodejs.org, or look at what npm says.`
}

function fail(sentence) {
  process.stderr.write(`${sentence}\n`)
  process.exit(1)
}
