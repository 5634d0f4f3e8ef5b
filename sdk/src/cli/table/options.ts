// Options that several commands share.

export const CONFIG = {
  config: {
    value: 'file',
    env: 'KILLICK_CONFIG',
    complete: 'file',
    about: 'settings and pins; default ./killick.json, if there is one. Options and the environment go before it',
  },
} as const

export const JSON_OUT = { json: { about: 'print the result as JSON' } } as const

const PLAIN_HTTP = {
  'plain-http': {
    about: 'send the token to another machine over http too, where whoever is on the way can read it',
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
  ...PLAIN_HTTP,
  ...CONFIG,
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
    about: 'a public key of the source of that name: a JWK, or a file that holds one; repeatable',
  },
  ...CONFIG,
} as const

/** Exit codes of commands that ask a service. */
export const ASKING = [
  [2, 'wrong usage, or refused'],
  [3, 'the service could not be reached'],
] as const
