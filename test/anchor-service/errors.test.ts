import { readFile } from 'node:fs/promises'
import { HTTP_CODES } from '@killick/gateway'
import { ERROR_CODES, type ErrorCode, KillickError } from '@killick/sdk'
import { expect, test } from 'vitest'
import { Refusal, SERVICE_CODES, type ServiceCode } from '../../anchor-service/src/errors.ts'
import { toProblem } from '../../anchor-service/src/http/problems.ts'
import { GATEWAY_CODES, type GatewayCode, GatewayRefusal } from '../../gateway/src/errors.ts'
import { toGatewayProblem } from '../../gateway/src/http/problems.ts'

test('docs/ERRORS.md lists every code with its status and meaning, and no other', async () => {
  const page = await readFile(new URL('../../docs/ERRORS.md', import.meta.url), 'utf8')
  const listed = [...page.matchAll(/^\| `(\w+)` \| (\d{3}) \| (.+) \|$/gm)].map(([, code, status, text]) => [
    code,
    Number(status),
    text,
  ])
  const problems = [
    ...Object.keys(SERVICE_CODES).map((code) => toProblem(new Refusal(code as ServiceCode))),
    ...Object.keys(GATEWAY_CODES).map((code) => toGatewayProblem(new GatewayRefusal(code as GatewayCode))),
    ...Object.entries(HTTP_CODES).map(([code, [status, title]]) => ({ code, status, title })),
    ...Object.entries(ERROR_CODES).map(([code, sentence]) => toProblem(new KillickError(code as ErrorCode, sentence))),
  ]
  // The page goes by subject.
  const told = problems.map(({ code, status, title }) => [code, status, title])
  expect(listed.sort()).toEqual(told.sort())
})

test('no code means two things', () => {
  expect(Object.keys(SERVICE_CODES).filter((code) => code in ERROR_CODES)).toEqual([])
  const ofGateway = [...Object.keys(GATEWAY_CODES), ...Object.keys(HTTP_CODES)]
  expect(ofGateway.filter((code) => code in ERROR_CODES || code in SERVICE_CODES)).toEqual([])
  expect(Object.keys(HTTP_CODES).filter((code) => code in GATEWAY_CODES)).toEqual([])
})

test("an answer about the service's own fault does not tell its cause", () => {
  const problem = toProblem(new Error('password of the database is hunter2'))
  expect(problem).toMatchObject({ status: 500, code: 'internal' })
  expect(JSON.stringify(problem)).not.toContain('hunter2')
  expect(JSON.stringify(toProblem(new Refusal('unavailable', undefined, { cause: 'hunter2' })))).not.toContain(
    'hunter2',
  )
})
