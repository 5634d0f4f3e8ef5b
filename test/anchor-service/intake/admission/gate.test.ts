import { expect, test } from 'vitest'
import { gate } from '../../../../anchor-service/src/intake/admission/gate.ts'

test('a fixed number run, a fixed number wait in order of arrival, and the rest is refused at once', async () => {
  const { pass, running, waiting } = gate(2, 3)
  const tasks = Array.from({ length: 6 }, () => Promise.withResolvers<number>())
  const begun: number[] = []
  const outcomes = tasks.map(({ promise }, i) =>
    pass(() => {
      begun.push(i)
      return promise
    }),
  )
  await expect(outcomes[5]).rejects.toMatchObject({ code: 'overloaded' })
  expect([begun, running(), waiting()]).toEqual([[0, 1], 2, 3])

  tasks[1]!.resolve(1)
  expect(await outcomes[1]).toBe(1)
  await expect.poll(() => begun).toEqual([0, 1, 2])
  expect(waiting()).toBe(2)
  // There is room for one more now.
  const late = pass(async () => 6)
  await expect(pass(async () => 7)).rejects.toMatchObject({ code: 'overloaded' })

  // A failed task makes room as well, and fails nobody else.
  tasks[0]!.reject(new Error('of its own'))
  await expect(outcomes[0]).rejects.toThrow('of its own')
  for (const i of [2, 3, 4]) tasks[i]!.resolve(i)
  expect(await Promise.all(outcomes.slice(2, 5))).toEqual([2, 3, 4])
  expect(await late).toBe(6)
  expect([begun, running(), waiting()]).toEqual([[0, 1, 2, 3, 4], 0, 0])
})

test('a task that throws before it returns a promise makes room too', async () => {
  const { pass, waiting } = gate(1, 0)
  const broken = () => {
    throw new Error('at once')
  }
  await expect(pass(broken)).rejects.toThrow('at once')
  expect(await pass(async () => 1)).toBe(1)
  expect(waiting()).toBe(0)
})
