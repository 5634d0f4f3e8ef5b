// What recorders note beside the spool is known after a crash, also if the disk was full for a while.
import { statSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { Notes } from '../../../gateway/src/changes/notes.ts'
import { ToolMemory } from '../../../gateway/src/mcp/tool-memory.ts'
import { FoundEvents, OpenIntents } from '../../../gateway/src/sessions/open-intents.ts'
import { smallDisk } from '../../support/small-disk.ts'

type Noted = Parameters<Notes['note']>[0]

const begun = (event: string, id = 'x') => ({
  ...{ event, action: 'tools.call', session: 's', actor: { type: 'agent', id: 'a' } },
  targets: [{ type: 'tool', id }],
})

function aDisk() {
  const disk = smallDisk(1)
  onTestFinished(() => disk.remove())
  return disk
}

test('a line of which a full disk took a part is written whole once there is room, and no other is lost with it', async () => {
  const disk = aDisk()
  const file = join(disk.folder, 'open.ndjson')
  const { intents } = OpenIntents.open(file, new FoundEvents('mcp'), false)
  intents.begun(begun('first'))
  await intents.sync()
  disk.fill()
  // Longer than what is left of the block that the first one began.
  intents.begun(begun('second', 'y'.repeat(10_000)))
  intents.begun(begun('over'))
  await expect(intents.sync()).rejects.toThrow(/open\.ndjson: ENOSPC/)
  disk.free()
  intents.ended('over')
  intents.begun(begun('third'))
  await intents.sync()
  // As after a kill: nobody closes it.
  const { intents: next, left } = OpenIntents.open(file, new FoundEvents('mcp'), false)
  expect(left.map(({ event }) => event)).toEqual(['first', 'second', 'third'])
  intents.close()
  next.close()
})

test('so it is with what the recorder of changes notes, and the tools of a server stay what they were', async () => {
  const disk = aDisk()
  const file = join(disk.folder, 'notes.ndjson')
  const relation = (oid: number, table: string) => ({ oid, table }) as unknown as NonNullable<Noted['relation']>
  const notes = Notes.open(file)
  notes.begin()
  const memory = new ToolMemory(disk.folder, 'server')
  memory.write(new Map([['one', {}]]))
  disk.fill()
  expect(() => notes.note({ relation: relation(1, 'y'.repeat(10_000)) })).toThrow(/ENOSPC/)
  // As much room as takes a part of the file.
  truncateSync(join(disk.folder, 'ballast'), statSync(join(disk.folder, 'ballast')).size - 8_192)
  expect(() => memory.write(new Map([['two', { text: 'y'.repeat(20_000) }]]))).toThrow(/ENOSPC/)
  expect([...memory.read()!.keys()]).toEqual(['one'])
  disk.free()
  notes.note({ relation: relation(2, 'orders') })
  await notes.confirm(7n)
  const read = Notes.open(file)
  expect([...read.relations.keys()]).toEqual([2])
  expect(read.confirmed).toBe(7n)
  notes.close()
})
