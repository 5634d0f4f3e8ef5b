/** Elements from data. Text only ever goes in as text: there is no way here to hand markup to the browser. */
import { words } from './language.ts'

export type Child = Node | string | null | undefined | false
type Attributes = Record<string, string | number | boolean | null | undefined | ((event: Event) => void)>

function build<E extends Element>(element: E, attributes: Attributes, children: readonly Child[]): E {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue
    if (typeof value === 'function') element.addEventListener(name.replace(/^on/, ''), value)
    else element.setAttribute(name, value === true ? '' : String(value))
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false))
  return element
}

/** An HTML element; `onclick` and the like take listeners, `true` an empty attribute, null leaves one out. */
export function h<K extends keyof HTMLElementTagNameMap>(
  name: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  return build(document.createElement(name), attributes, children)
}

/** An SVG element. */
export function s(name: string, attributes: Attributes = {}, ...children: Child[]): SVGElement {
  return build(document.createElementNS('http://www.w3.org/2000/svg', name) as SVGElement, attributes, children)
}

/** A value in fixed-width type with a button that copies it. */
export function copyable(value: string, what: string): HTMLElement {
  const { copy, copied, refused } = words.copy
  const button = h('button', { type: 'button', class: 'copy', 'aria-label': copy(what), title: copy(what) })
  button.append(icon('copy'))
  button.addEventListener('click', async () => {
    const done = await navigator.clipboard.writeText(value).then(
      () => true,
      () => false,
    )
    button.replaceChildren(icon(done ? 'passed' : 'failed'))
    button.setAttribute('aria-label', done ? copied(what) : refused)
    setTimeout(() => {
      button.replaceChildren(icon('copy'))
      button.setAttribute('aria-label', copy(what))
    }, 1500)
  })
  return h('span', { class: 'copyable' }, h('code', {}, value), button)
}

const PATHS = {
  passed: 'M5 12.500l4.500 4.500L19 7.500',
  failed: 'M6.500 6.500l11 11M17.500 6.500l-11 11',
  skipped: 'M7 12h10',
  open: 'M8.500 9a3.500 3.500 0 1 1 5.200 3c-1.200.700-1.700 1.300-1.700 2.600M12 18.200v.100',
  wait: 'M12 6.500V12l3.500 2.500',
  word: 'M4 5h16v11h-9l-4.500 4v-4H4zM8.500 10.500l2.500 2.500 4.500-5',
  denied: 'M12 4a8 8 0 1 0 0 16a8 8 0 1 0 0-16M6.500 6.500l11 11',
  failure: 'M12 4l9 16H3zM12 10.500v4M12 17.300v.100',
  success: 'M5 12.500l4.500 4.500L19 7.500',
  hidden: 'M3 12c3-4.500 6-6 9-6s6 1.500 9 6c-3 4.500-6 6-9 6s-6-1.500-9-6M5 20L19 4',
  none: 'M7 12h10',
  copy: 'M9 9h10v11H9zM5 15V4h10',
} as const

export type IconName = keyof typeof PATHS

/** Decoration: whatever it means is also said in words beside it. */
export function icon(name: IconName): SVGElement {
  return s(
    'svg',
    { viewBox: '0 0 24 24', class: `icon ${name}`, 'aria-hidden': 'true', focusable: 'false' },
    s('path', { d: PATHS[name] }),
  )
}
