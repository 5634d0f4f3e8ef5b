// Options that several commands share.

export const CONFIG = {
  config: {
    value: 'file',
    env: 'KILLICK_CONFIG',
    complete: 'file',
    about: 'settings and pins; default ./killick.json, if there is one. Options and the environment go before it',
  },
} as const

/** For lists, which are for people on a terminal. */
export const JSON_LINES = {
  json: { about: 'print JSON, one object a line, on a terminal too' },
} as const

/** For commands whose result is no document. */
export const JSON_FAILURE = { json: { about: 'report a failure as a JSON document on stdout' } } as const

export const JSON_OUT = { json: { about: 'print the result as JSON' } } as const

const PLAIN_HTTP = {
  'plain-http': {
    about: 'send the token to another machine over http too, where whoever is on the way can read it',
  },
} as const

const TOKEN_FILE = {
  'token-file': {
    value: 'file',
    complete: 'file',
    about:
      'a file that holds the token, such as keys/reader.token, keys/admin.token or keys/eraser.token in the service’s data folder',
  },
} as const

export const RECEIPT_LOG_KEY = {
  'log-key': {
    value: 'vkey',
    env: 'KILLICK_LOG_KEY',
    config: 'logKey',
    complete: 'file',
    about: 'verifier key of the log, or a file that holds it: receipts are checked with it',
  },
} as const

export const URL_OPTION = {
  url: { value: 'url', env: 'KILLICK_URL', config: 'url', about: 'the service' },
} as const

/** Which service is asked, and with which token. */
export const ACCESS = {
  ...URL_OPTION,
  token: {
    value: 'token',
    about:
      'a reader token of the service; or KILLICK_TOKEN, which keeps it out of the list of processes and is sent to the origin of KILLICK_URL only',
  },
  ...TOKEN_FILE,
  ...PLAIN_HTTP,
  ...CONFIG,
} as const

/** The same for what only administrators may do. */
export const ADMIN_TOKEN = {
  token: {
    value: 'token',
    about:
      'an admin token of the service; or KILLICK_ADMIN_TOKEN, which keeps it out of the list of processes and is sent to the origin of KILLICK_URL only',
  },
  ...TOKEN_FILE,
  ...PLAIN_HTTP,
} as const

/** The same for what only the token for erasures opens. */
export const ERASER_TOKEN = {
  token: {
    value: 'token',
    about:
      'the token for erasures, of keys/eraser.token in the service’s data folder; or KILLICK_ERASER_TOKEN, which keeps it out of the list of processes and is sent to the origin of KILLICK_URL only',
  },
  ...TOKEN_FILE,
  ...PLAIN_HTTP,
} as const

/** Which log a command means to write to. */
export const EXPECTED_LOG_KEY = {
  'log-key': {
    value: 'vkey',
    env: 'KILLICK_LOG_KEY',
    config: 'logKey',
    complete: 'file',
    about: 'verifier key of the log that the service must keep, or a file that holds it',
  },
} as const

/** Reads what is sealed. */
export const SUBJECT_KEYS = {
  'subject-keys': {
    value: 'place',
    complete: 'file',
    about:
      'shows sealed fields, as far as these keys read them: a folder of keys, or a module whose default export is a store of keys',
  },
} as const

/** Which events. */
export const CONDITIONS = {
  action: { value: 'action', about: 'an action such as invoice.approve, or all that begin alike: invoice.*' },
  actor: { value: 'id', about: 'id of who did it, without the type' },
  target: { value: 'id', about: 'id of one of the things it was done to, without the type' },
  outcome: { value: 'outcome', complete: ['success', 'failure', 'denied'], about: 'success, failure or denied' },
  tenant: { value: 'id', about: 'id of the tenant, as its context names it' },
  source: { value: 'name', about: 'the source that recorded it' },
  stream: { value: 'stream', about: 'the stream it is in' },
  from: {
    value: 'time',
    about: 'recorded at or after this: an RFC 3339 time, or a day such as 2027-01-31 (from its start, UTC)',
  },
  to: { value: 'time', about: 'recorded before this time, or until the end of this day (UTC)' },
} as const

/** For links and proofs behind a URL. */
export const LINK_TOKEN = {
  token: {
    value: 'token',
    about:
      'for a proof behind a URL that asks for one; or KILLICK_TOKEN, which is sent to the origin of KILLICK_URL only',
  },
  ...PLAIN_HTTP,
} as const

/** What a verifier pins. */
export const PINS = {
  trust: {
    value: 'file',
    complete: 'file',
    about:
      'pins of all kinds, as JSON: a trust.json as verification pages have it; or KILLICK_TRUST, or pins in killick.json. The options below go before it, kind by kind',
  },
  rpc: {
    value: 'url',
    repeat: true,
    about: 'a node of the chain to ask; repeat to ask several, of which none may deny the anchor; or KILLICK_RPC_URL',
  },
  contract: { value: '0x…', about: 'the anchor contract you rely on, together with' },
  'log-id': { value: '0x…', about: 'the id of the log in it and' },
  'chain-id': {
    value: 'n',
    about:
      'the chain it is on (default: the chain of the first --rpc that answers); or KILLICK_CONTRACT, KILLICK_LOG_ID and KILLICK_CHAIN_ID',
  },
  'log-key': {
    value: 'vkey',
    repeat: true,
    complete: 'file',
    about: 'the log’s verifier key (origin+hash+base64), or a file that holds it; or KILLICK_LOG_KEY',
  },
  'source-key': {
    value: 'name=jwk',
    repeat: true,
    about: 'a public key of the source of that name: a JWK, {jwk, notBefore, notAfter}, or a file; repeatable',
  },
  ...CONFIG,
} as const

/** Exit codes of commands that ask a service. */
export const ASKING = [
  [2, 'wrong usage, or refused'],
  [3, 'the service could not be reached'],
] as const
