/** A link as a QR code (ISO/IEC 18004). */
import { encode } from 'uqr'
import { s } from '../shared/dom.ts'
import { words } from '../shared/language.ts'

/** Bytes that the largest code holds at its lowest error correction. */
export const MAX_QR_BYTES = 2953

/** Dark on light whatever the theme: many readers know no other. `link` is ASCII of at most 2,953 characters. */
export function qrCode(link: string): SVGElement {
  const { size, data } = encode(link, { ecc: 'L', border: 4 })
  const dark = data.flatMap((row, y) => row.flatMap((isDark, x) => (isDark ? [`M${x} ${y}h1v1h-1z`] : [])))
  return s(
    'svg',
    {
      viewBox: `0 0 ${size} ${size}`,
      class: 'qr',
      role: 'img',
      'aria-label': words.raw.qrCode,
      'shape-rendering': 'crispEdges',
    },
    s('rect', { width: size, height: size, fill: '#fff' }),
    s('path', { d: dark.join(''), fill: '#000' }),
  )
}
