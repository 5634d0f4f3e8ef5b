// English for what an audit took on somebody's word.
import type { AuditRestsOn } from '@killick/sdk/audit'
import { auditInWords } from '@killick/sdk/words'
import { expect, test } from 'vitest'

test('an audit in words is the audit, with a phrase for each thing that it rests on', () => {
  const restsOn: AuditRestsOn[] = [
    { what: 'log_key' },
    { what: 'unread_keys', keys: ['witness.example (type 0x04)'] },
    { what: 'source_keys', sources: ['billing', 'payroll'] },
    { what: 'contract' },
    { what: 'succession' },
    { what: 'left_log' },
  ]
  expect(auditInWords({ size: 3, restsOn })).toEqual({
    size: 3,
    restsOn: [
      'the operator’s word on which key is the log’s',
      'nothing of witness.example (type 0x04): keys of such types are not read',
      'the operator’s word, given in the log, on the keys of billing, payroll',
      'the operator’s word on which contract and log to ask for',
      'the publisher’s word that this log succeeds the one that you pinned',
      'the publisher’s word that what was anchored in the log that was left, and is not here, is none of its own',
    ],
  })
})
