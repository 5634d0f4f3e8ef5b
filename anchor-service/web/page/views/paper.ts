/** The foot of a printout: by what a reader of paper finds the way back to the page. */
import { h } from '../../shared/dom.ts'
import { words } from '../../shared/language.ts'
import { MAX_QR_BYTES, qrCode } from '../qr.ts'

/** A code of more modules than this takes more paper, or no telephone reads it. */
const DENSE = 100

/**
 * Seen on paper alone. `show` takes the link once it is known; `print` draws the code and sets the time. A code takes longer
 * than all the checks of a verdict, and few visitors print.
 */
export function paper(id: string): { element: HTMLElement; show: (link: string) => void; print: () => void } {
  const code = h('div', {})
  const told = words.paper
  const time = h('dd', {}, told.atSomeTime)
  const link = h('code', {})
  const element = h(
    'section',
    { class: 'paper', 'aria-hidden': 'true' },
    h('h2', {}, told.title),
    h(
      'div',
      { class: 'back' },
      code,
      h('dl', {}, ...[h('dt', {}, told.event), h('dd', {}, h('code', {}, id)), h('dt', {}, told.printed), time]),
    ),
    h('p', { class: 'link' }, h('span', { class: 'label' }, told.link), link),
    h('p', { class: 'note' }, told.note),
  )
  let isPrinted = false
  const draw = () => {
    const address = link.textContent
    if (!isPrinted || address === '' || code.childNodes.length > 0) return
    if (address.length > MAX_QR_BYTES) {
      code.append(h('p', { class: 'note' }, told.tooLong))
      return
    }
    const drawn = qrCode(address)
    drawn.classList.toggle('dense', Number(drawn.getAttribute('viewBox')!.split(' ')[2]) > DENSE)
    code.append(drawn)
  }
  return {
    element,
    show(address) {
      link.textContent = address
      draw()
    },
    print() {
      time.textContent = told.at(new Date().toISOString())
      isPrinted = true
      draw()
    },
  }
}
