/** How far the log is anchored, in words: never more than the service has checked. English, as console and front door are. */
import type { FrontAnswer } from '../../src/http/answers.ts'
import { type Child, h } from './dom.ts'

type Log = NonNullable<FrontAnswer['log']>

/** "18:02:31 UTC", with the day where it is not today's. @param now ms */
export function moment(iso: string, now = Date.now()): HTMLElement {
  const [day, time] = [iso.slice(0, 10), `${iso.slice(11, 19)} UTC`]
  const isToday = day === new Date(now).toISOString().slice(0, 10)
  return h('time', { datetime: iso }, isToday ? time : `${day} ${time}`)
}

/** The service saw its anchors confirmed, and it knows what stands behind them. */
export function anchoredWords({ upTo, rest, open }: Log): {
  tone: 'word' | 'wait' | 'open'
  title: Child[]
  more: string
} {
  if (upTo === null) return { tone: 'open', title: ['Nothing is anchored yet'], more: '' }
  const whose = rest === 'own' ? 'Everything that sources recorded up to ' : 'Everything up to '
  const title = [whose, moment(upTo), ' is anchored']
  if (rest === 'nothing') return { tone: 'word', title, more: '' }
  const entries = `${open.toLocaleString('en')} ${open === 1 ? 'entry' : 'entries'}`
  return rest === 'own'
    ? { tone: 'word', title, more: `The ledger itself has added ${entries} since, such as its note of that anchor.` }
    : { tone: 'wait', title, more: `${entries} since then ${open === 1 ? 'is' : 'are'} not yet.` }
}
