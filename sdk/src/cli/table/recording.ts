import { command } from './entry.ts'
import { CONFIG, URL_OPTION } from './options.ts'

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
    'log-key': {
      value: 'vkey',
      env: 'KILLICK_LOG_KEY',
      config: 'logKey',
      complete: 'file',
      about: 'verifier key of the log, or a file that holds it: receipts are checked with it',
    },
    wait: {
      value: 'seconds',
      default: '60',
      about: 'how long to go on trying to reach the service at the end; default 60',
    },
    ids: { about: 'print the id of each event on stdout, in order' },
    ...CONFIG,
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
