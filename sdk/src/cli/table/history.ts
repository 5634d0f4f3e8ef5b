import { command } from './entry.ts'
import { ACCESS, ASKING, PINS } from './options.ts'

export const HISTORY = command({
  name: 'history',
  summary: 'the life of a thing: what was changed in it, by whom, and its state at any time',
  usage: ['history <type> <id> [--at <time>] [--since <time>] [--bundle <file>] [--json] [options]'],
  arguments: [{ name: 'type' }, { name: 'id' }],
  about: [
    'Puts together what all sources say was changed in a target, event after event: its state, who set each member last, and where an event says that something was before what no event had made it. Changes of an event count for the target that it names first. Events that failed or were denied change nothing.',
    'The order is that of the recorders’ clocks, but never against the order of a stream. All of it is what the sources say; killick proof has the proof of each step. From a service it is the service’s word that these are all events; from a bundle (--bundle) everything is checked first, and the result says whether it is all there is.',
    'The last line is the SHA-256 over the bytes of each event and a line feed, in the order of the history: the same events give the same hash, from a service and from a bundle.',
  ],
  options: {
    at: {
      value: 'time',
      about: 'as it was just before this: an RFC 3339 time, or a day such as 2027-01-31 (its start, UTC)',
    },
    since: { value: 'time', about: 'also what is different from its state at this time' },
    bundle: { value: 'file', complete: 'file', about: 'read a bundle and no service' },
    ...ACCESS,
    ...PINS,
    json: { about: 'print the history as JSON' },
  },
  exits: [
    [0, 'told; from a bundle: genuine and complete'],
    [1, 'told, and something contradicts; or something in the bundle does not hold, and nothing is told'],
    ASKING[0],
    [3, `${ASKING[1][1]}, or whoever read the output left before its end`],
  ],
  examples: [
    'killick history invoice 2026-0042',
    'killick history customer c-17 --at 2026-06-30 --since 2026-04-01',
    'killick history invoice 2026-0042 --bundle second-quarter.bundle --trust trust.json',
  ],
})
