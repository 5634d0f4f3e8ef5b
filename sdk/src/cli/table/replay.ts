import { command } from './entry.ts'
import { ACCESS, PINS } from './options.ts'

export const REPLAY = command({
  name: 'replay',
  summary: 'play a recorded session in order, and say the hash of what was played',
  usage: [
    'replay <session> [--speed <n>|max] [--verify [pins]] [--source <name>] [--stream <stream>] [--json] [options]',
    'replay <session> --terminal [--cast <file>] [--speed <n>|max] [--verify [pins]] [options]',
  ],
  arguments: [{ name: 'session' }],
  about: [
    'Plays what a recorder recorded of one session: tool calls, statements, requests, commands, each with what came of it. <session> is the id in the context of its events. What an event says is read from its own bytes. An intent without an outcome, an outcome that nobody saw, fields that are not shown and events that were altered are told as such.',
    'Without --verify it is the service’s word that these are the events, and how far they are anchored. With it, the proof of each step is fetched and judged by what you pin, and what lies between two steps in their stream is fetched too: whether a place is missing, whether each event names the hash of the one before it, and whether one of this session was left out.',
    'The last line is the SHA-256 over the bytes of each event played and a line feed, in the order played. Whoever plays the same events gets the same hash, and the same output once the same of them is anchored.',
    'With --terminal, what the terminal of a command showed (killick run --session) is played as it was, control characters and all, and the report goes to standard error. It comes from the events, or from the file that the command left, and each chunk is held against the hash in its event: what does not hold is not played.',
  ],
  options: {
    speed: {
      value: 'n',
      complete: ['1', '10', 'max'],
      about: 'how many times as fast as it happened, or max: without waiting. Default 1 on a terminal, else max',
    },
    verify: { about: 'check the proof of each step, and every place of the stream between the first and the last' },
    source: { value: 'name', about: 'only what this source recorded' },
    stream: { value: 'stream', about: 'only what is in this stream' },
    terminal: { about: 'play what the terminal showed, as it was, and nothing else' },
    cast: { value: 'file', about: 'with --terminal: the asciicast of the session, where its events hold hashes alone' },
    ...ACCESS,
    ...PINS,
    json: { about: 'print JSON, one step a line, with the bytes of its event; the last line has the hash' },
  },
  exits: [
    [0, 'played; with --verify, every step is verified and no place is missing'],
    [
      1,
      'played, and something does not hold: an event was altered, a place is missing, a proof fails, or what the terminal showed is not what was recorded',
    ],
    [2, 'wrong usage, no such session, several of this name, or refused'],
    [
      3,
      'the service could not be reached, with --verify a proof stayed undecided, or whose an event between two steps is, or whoever read the output left before its end',
    ],
    [130, 'stopped with Ctrl-C; the hash is that of what was played until then'],
  ],
  examples: [
    'killick replay 0d5c6b2e-8a54-4c3c-9f0e-2b8d6c1a7f35',
    'killick replay 0d5c6b2e-8a54-4c3c-9f0e-2b8d6c1a7f35 --verify --trust trust.json --speed max',
    'killick replay 5f0c1f60-3f0b-4a52-8c0e-6f5d2b1c9a77 --terminal --cast spool/run/casts/5f0c1f60.cast',
    'killick replay 0d5c6b2e-8a54-4c3c-9f0e-2b8d6c1a7f35 --json | jq -r "select(.event) | .event" | sha256sum',
  ],
})
