import { command } from './entry.ts'
import {
  ADMIN_TOKEN,
  CONFIG,
  EXPECTED_LOG_KEY,
  JSON_FAILURE,
  JSON_OUT,
  RECEIPT_LOG_KEY,
  URL_OPTION,
} from './options.ts'

export const INIT = command({
  name: 'init',
  summary: 'set up a project: key, registration, killick.json, and a first event that is proven',
  usage: ['init [--url <url>] [--source <name>] [--token-file <file>] [--yes] [options]'],
  about: [
    'In the working folder: makes a key that only you can read, registers the source with the service, takes the log’s key and its contract from there, writes killick.json and an example that runs, records one event, waits until it is anchored, checks its proof, and prints the verdict and a link to it. What is not given as an option is asked for. Nothing that exists is overwritten.',
    'It may be interrupted anywhere: called again, it goes on where it was. .killick-init.json holds what it needs for that, and is removed at the end. A token is written nowhere.',
    'What is taken from the service counts as pinned on first use, and every verdict says so until you have compared it with what the operator publishes elsewhere and removed firstUse from killick.json; or give the operator’s trust.json with --trust. The folder’s .gitignore, and its .npmignore if there is one, get lines for key and spool, so that neither git nor npm takes them along.',
  ],
  options: {
    url: { value: 'url', env: 'KILLICK_URL', about: 'the service; asked for with http://127.0.0.1:8787 in mind' },
    source: {
      value: 'name',
      env: 'KILLICK_SOURCE',
      about: 'name of the source; asked for with the project’s name in mind',
    },
    key: {
      value: 'file',
      env: 'KILLICK_KEY',
      complete: 'file',
      about: 'its private key: made, or used if it is there; default <source>.key.json',
    },
    spool: {
      value: 'dir',
      env: 'KILLICK_SPOOL',
      default: 'killick-spool',
      complete: 'folder',
      about: 'where events wait until the log has accepted them; default killick-spool',
    },
    ...ADMIN_TOKEN,
    rpc: {
      value: 'url',
      repeat: true,
      about: 'a node of the chain to ask; default: those that the service publishes',
    },
    'log-key': {
      value: 'vkey',
      env: 'KILLICK_LOG_KEY',
      complete: 'file',
      about: 'verifier key of the log that the service must keep, or a file that holds it',
    },
    trust: {
      value: 'file',
      complete: 'file',
      about: 'pins from the operator (a trust.json), instead of those that the service names',
    },
    wait: { value: 'seconds', default: '120', about: 'how long to wait for the anchor; default 120' },
    yes: { about: 'ask nothing: take what the questions suggest, and the pins of the service' },
    again: { about: 'go through the steps with the killick.json that is there' },
    ...JSON_OUT,
  },
  exits: [
    [0, 'the first event is verified'],
    [1, 'its proof does not hold'],
    [2, 'wrong usage or refused; a killick.json is there already; the service keeps another log'],
    [3, 'the service could not be reached, or the verdict is open: not anchored yet, or no node was asked'],
    [130, 'interrupted'],
  ],
  examples: [
    'killick init',
    'killick init --url http://127.0.0.1:8787 --source billing-api --token-file data/keys/admin.token --yes',
  ],
})

export const KEYGEN = command({
  name: 'keygen',
  summary: 'make a key pair for a source',
  usage: ['keygen --out <file> [--alg Ed25519|ES256|ES256K]'],
  about: [
    'Writes the private key to <file> (a JWK; only you can read it) and the public key beside it, ending in .pub.json. The private key stays with the system that records. The public key is what you register with the service, and what verifiers pin with --source-key. It is also printed. Existing files are never overwritten.',
  ],
  options: {
    out: { value: 'file', complete: 'file', about: 'where to write the private key' },
    alg: {
      value: 'alg',
      default: 'Ed25519',
      complete: ['Ed25519', 'ES256', 'ES256K'],
      about: 'Ed25519 (default, fastest), ES256 (P-256) or ES256K (secp256k1)',
    },
  },
  exits: [
    [0, 'both files are written'],
    [2, 'wrong usage, or a file exists'],
  ],
  examples: ['killick keygen --out billing-api.key.json'],
})

export const REGISTER = command({
  name: 'register',
  summary: 'register a source and its key with the service',
  usage: ['register [--source <name> --key <file> --url <url>] [--token-file <file>] [options]'],
  about: [
    'Tells the service that a key belongs to a source; from then on it takes what the key signs in that name. A key that is registered is not registered again, unless its time changes or the source promises something else. The registration is an event of the ledger. Of a private key only the public part is sent.',
    'If a log’s key is pinned, the service must keep that log.',
  ],
  options: {
    source: { value: 'name', env: 'KILLICK_SOURCE', config: 'source', about: 'name of the source' },
    key: {
      value: 'file',
      env: 'KILLICK_KEY',
      config: 'key',
      complete: 'file',
      about: 'its key: the private one, or the public one (.pub.json)',
    },
    'not-before': { value: 'time', about: 'the key counts from this RFC 3339 time on' },
    'not-after': { value: 'time', about: 'the key counts until this RFC 3339 time' },
    heartbeat: {
      value: 'seconds',
      about:
        'the source promises an event at least this often in each stream that has not ended, so that silence is a finding; none takes the promise back',
    },
    ...URL_OPTION,
    ...ADMIN_TOKEN,
    ...EXPECTED_LOG_KEY,
    ...CONFIG,
    ...JSON_OUT,
  },
  exits: [
    [0, 'registered, now or before'],
    [2, 'wrong usage, the token is refused, or the service keeps another log'],
    [3, 'the service could not be reached'],
  ],
  examples: [
    'killick register --source billing-api --key billing-api.pub.json --url http://127.0.0.1:8787 --token-file data/keys/admin.token',
    'killick register --not-after 2027-01-31T00:00:00Z',
    'killick register --heartbeat 300',
  ],
})

export const ACTIONS = command({
  name: 'actions',
  summary: 'write what a catalogue of actions says, or register it with the service',
  usage: [
    'actions <module> [--markdown <file>] [--json-schema <file>] [--check]',
    'actions push <module> [--enforce | --only] [--source <name> --url <url>] [--token-file <file>]',
    'actions push --release [--source <name> --url <url>] [--token-file <file>]',
  ],
  arguments: [
    { name: 'push', optional: true, complete: 'file' },
    { name: 'module', optional: true, complete: 'file' },
  ],
  about: [
    '<module> is a file that exports what defineActions of @killick/sdk/actions gives; it is run. Without push, its documentation is printed, or written as Markdown and as JSON Schema.',
    'push registers the catalogue’s version for a source, in an event of the ledger. A version is registered once: the same again changes nothing, and another catalogue needs another version. Versions live side by side.',
    'A source that is held to versions (--enforce) has every event refused that names none of them or does not fit. Hold a source to its catalogue only when all that records for it writes the version: an event that is refused keeps its stream waiting.',
  ],
  options: {
    export: { value: 'name', about: 'which export of the module, if there are several catalogues' },
    markdown: { value: 'file', complete: 'file', about: 'write the documentation there' },
    'json-schema': { value: 'file', complete: 'file', about: 'write a JSON Schema of the events there' },
    check: { about: 'write nothing; exit 1 if the files are not what the catalogue says' },
    enforce: { about: 'hold the source to this version, and to those that it is held to already' },
    only: { about: 'hold the source to this version alone' },
    release: { about: 'hold the source to no catalogue any more' },
    source: { value: 'name', env: 'KILLICK_SOURCE', config: 'source', about: 'name of the source' },
    ...URL_OPTION,
    ...ADMIN_TOKEN,
    ...EXPECTED_LOG_KEY,
    ...CONFIG,
    ...JSON_OUT,
  },
  exits: [
    [0, 'written, or registered, now or before'],
    [1, 'with --check: a file is not what the catalogue says'],
    [2, 'wrong usage, no catalogue, the token is refused, or the service keeps another log'],
    [3, 'the service could not be reached'],
  ],
  examples: [
    'killick actions src/actions.ts --markdown docs/actions.md --json-schema docs/actions.schema.json',
    'killick actions push src/actions.ts --source billing-api --token-file data/keys/admin.token',
    'killick actions push src/actions.ts --enforce',
  ],
})

export const RECORD = command({
  name: 'record',
  summary: 'record events, one JSON object per line on stdin',
  usage: ['record [--source <name> --key <file> --url <url>] [options] < events.ndjson'],
  about: [
    'Each line is an event: {"action", "actor": {"type", "id"}, "targets": [{"type", "id"}]}, and optionally "outcome", "context", "changes", "occurredAt", and "metadata" for whatever else there is. Empty lines are skipped. Every event is signed, chained and written to the spool before the next step; then all are sent, and each receipt is checked.',
  ],
  options: {
    source: { value: 'name', env: 'KILLICK_SOURCE', config: 'source', about: 'registered name of the source' },
    key: {
      value: 'file',
      env: 'KILLICK_KEY',
      config: 'key',
      complete: 'file',
      about: 'its private key, made by killick keygen',
    },
    ...URL_OPTION,
    spool: {
      value: 'dir',
      env: 'KILLICK_SPOOL',
      config: 'spool',
      default: './killick-spool',
      complete: 'folder',
      about: 'where events wait until the log has accepted them; default ./killick-spool',
    },
    ...RECEIPT_LOG_KEY,
    wait: {
      value: 'seconds',
      default: '60',
      about: 'how long to go on trying to reach the service at the end; default 60',
    },
    ids: { about: 'print the id of each event on stdout, in order' },
    ...CONFIG,
    ...JSON_FAILURE,
  },
  exits: [
    [0, 'the log has accepted everything'],
    [1, 'the service refuses it'],
    [2, 'wrong usage, or a faulty line (it is named; everything before it is recorded and sent, nothing after it)'],
    [
      3,
      'recorded and safe in the spool, but the service could not be reached: run the command again, with or without input, to send what waits',
    ],
  ],
  examples: [
    'killick record --source billing-api --key billing-api.key.json --url http://127.0.0.1:8787 < events.ndjson',
    `echo '{"action":"user.login","actor":{"type":"user","id":"ada"},"targets":[]}' | killick record`,
  ],
})
