/** Cursors: where a page of a list ended, as text that says where the next one begins. */
import { isSourceName, isStreamId } from '@killick/sdk/core'
import { Refusal } from '../errors.ts'
import type { EventPlace } from '../ledger/read/events.ts'
import { type StreamName, streamKey } from '../ledger/registry/streams.ts'

export type Cursor<Place> = {
  /** Null, for no further page, stays null. */
  print(place: Place | null): string | null
  /** Null if it is not a cursor of this list. Each place has one spelling. */
  read(text: string): Place | null
  /** Reads the cursor of a query; undefined, for the first page, stays undefined. @throws Refusal request_invalid */
  parse(text: string | undefined): Place | undefined
}

function cursorOf<Place>(spell: (place: Place) => string, guess: (text: string) => Place | null): Cursor<Place> {
  const read = (text: string) => {
    const place = guess(text)
    return place !== null && spell(place) === text ? place : null
  }
  return {
    print: (place) => (place === null ? null : spell(place)),
    read,
    parse(text) {
      if (text === undefined) return undefined
      const place = read(text)
      if (place === null) throw new Refusal('request_invalid', 'The cursor is not one that this service gave.')
      return place
    },
  }
}

/** Whether a number can be that of a row. */
const isNumber = (number: number) => Number.isSafeInteger(number) && number >= 0
/** Whether a number can be a position inside a batch, which the database keeps as a 32-bit integer. */
const isPosition = (number: number) => isNumber(number) && number < 2 ** 31

/** Cursors of lists whose rows have a number: a log index, or a number of their own. */
export const ROW_CURSOR: Cursor<number> = cursorOf(String, (text) => (isNumber(Number(text)) ? Number(text) : null))

/** Cursors of lists of events. */
export const EVENT_CURSOR: Cursor<EventPlace> = cursorOf(
  (place) => place.join('.'),
  (text) => {
    const [logIndex = '', position = ''] = text.split('.')
    return isNumber(Number(logIndex)) && isPosition(Number(position)) ? [Number(logIndex), Number(position)] : null
  },
)

/** Cursors of the list of streams. */
export const STREAM_CURSOR: Cursor<StreamName> = cursorOf(streamKey, (text) => {
  const [source, stream] = text.split('/')
  return isSourceName(source) && isStreamId(stream) ? { source, stream } : null
})

/** Cursors of the list of sources. */
export const SOURCE_CURSOR: Cursor<string> = cursorOf(String, (text) => (isSourceName(text) ? text : null))
