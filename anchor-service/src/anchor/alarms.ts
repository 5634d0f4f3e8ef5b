/**
 * Why nothing is anchored to a target now. Each stops that target alone, shows in `/readyz` and the metrics under its
 * code, and ends by itself once its reason is gone. A closed set, stable across releases.
 */
export const ALARM_CODES = {
  nodes_unreachable: 'Too few RPC nodes of the chain answer.',
  nodes_disagree: 'The RPC nodes contradict each other, and no majority decides.',
  wrong_chain: 'The RPC nodes are on another chain than configured.',
  no_contract: 'There is no contract at the configured address.',
  other_contract: 'The code at the configured address is not the published AnchorLog.',
  not_publisher: 'The configured key is not the publisher of the log.',
  not_opened: 'The configured log id names a log that nobody has opened, and that this key cannot open.',
  log_went_back: 'The ledger does not continue what was signed: the database was restored, or entries were cut off.',
  publisher_stolen:
    'The contract holds an anchor that this log never had, as far as this process remembers: another anchors with the chain key.',
  contract_ahead:
    'The contract holds a larger size than the ledger, from before this process remembers: the ledger has lost entries, or another anchors with the chain key.',
  not_a_prefix:
    'The root that the contract holds is not that of this ledger at that size, from before this process remembers: another history was anchored, or another anchors with the chain key.',
  contract_refuses: 'The contract refuses the anchor.',
  unfunded: 'The publisher cannot pay for the transaction.',
  node_refuses: 'The RPC nodes refuse the transaction.',
  signer_failed: 'The signer does not sign.',
  failed: 'The worker failed for a reason it does not know.',
} as const satisfies Record<string, string>

export type AlarmCode = keyof typeof ALARM_CODES

export class Alarm extends Error {
  override readonly name = 'Alarm'
  readonly code: AlarmCode

  constructor(code: AlarmCode, detail = '') {
    super(detail === '' ? ALARM_CODES[code] : `${ALARM_CODES[code]} ${detail}`)
    this.code = code
  }
}
