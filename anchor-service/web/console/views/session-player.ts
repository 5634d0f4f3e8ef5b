/** Plays rows: shows one after the other, in the time that lay between them, or faster. */
import { h } from '../../shared/dom.ts'
import { count } from '../parts.ts'

const SPEEDS = [1, 10, 100] as const
/** Longest wait that a timer can be set for, ms. */
const MAX_WAIT_MS = 2 ** 31 - 1

/**
 * Controls for rows that are all shown at first.
 * @param times when each row happened, ms; null: not known, and not waited for
 * @param label whose rows they are, for those who cannot see where the controls stand
 * @param signal aborted when the view is left
 */
export function player(
  rows: readonly HTMLElement[],
  times: readonly (number | null)[],
  label: string,
  signal: AbortSignal,
): HTMLElement {
  /** How many rows are shown. */
  let shown = rows.length
  let timer: ReturnType<typeof setTimeout> | null = null
  const button = h('button', { type: 'button', class: 'primary' }, 'Play')
  const all = h('button', { type: 'button' }, 'Show all')
  const speed = h(
    'select',
    { 'aria-label': 'Speed' },
    ...SPEEDS.map((each) => h('option', { value: each }, each === 1 ? 'as it happened' : `${each} times as fast`)),
  )
  const state = h('span', { class: 'note', role: 'status' })
  const draw = () => {
    for (const [i, line] of rows.entries()) line.hidden = i >= shown
    button.textContent = timer === null ? 'Play' : 'Pause'
    // Said of its end too: who does not see the rows would wait for more.
    const doing = shown === rows.length ? 'all are shown' : timer === null ? 'paused' : 'playing'
    state.textContent = `${doing}, ${count(shown)} of ${count(rows.length)}`
  }
  const stop = () => {
    if (timer !== null) clearTimeout(timer)
    timer = null
  }
  const next = () => {
    timer = null
    if (shown < rows.length) {
      const [last, coming] = [shown === 0 ? null : times[shown - 1]!, times[shown]!]
      const wait = last === null || coming === null ? 0 : Math.max(0, coming - last) / Number(speed.value)
      timer = setTimeout(
        () => {
          shown += 1
          next()
        },
        Math.min(wait, MAX_WAIT_MS),
      )
    }
    draw()
  }
  button.addEventListener('click', () => {
    if (timer !== null) {
      stop()
      return draw()
    }
    if (shown === rows.length) shown = 0
    next()
  })
  speed.addEventListener('change', () => {
    // What is waited for now is waited for at the new speed.
    if (timer === null) return
    stop()
    next()
  })
  all.addEventListener('click', () => {
    stop()
    shown = rows.length
    draw()
  })
  signal.addEventListener('abort', stop)
  return h('div', { class: 'player', role: 'group', 'aria-label': label }, button, speed, all, state)
}
