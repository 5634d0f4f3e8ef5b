/** What whoever published the page says about keys and contract: in the page, or in a file beside it. */
import { type Pins, parsePins } from '../shared/trust.ts'

/** What the publisher of the page says, or null where the page stands alone. */
export async function readPublisher(url: string): Promise<Pins | null> {
  try {
    const response = await fetch(url, { credentials: 'omit' })
    if (!response.ok) return null
    return named(parsePins(await response.json()))
  } catch {
    return null
  }
}

/** What the page itself holds of its publisher's word, so that it needs no server: a data block, written by the export. */
export function embeddedPublisher(): Pins | null {
  const text = document.getElementById('trust')?.textContent
  try {
    return text ? named(parsePins(JSON.parse(text))) : null
  } catch {
    return null
  }
}

/** Who has not given a name is called by the address of the page, where it has one. */
const named = ({ publisher = location.host, ...pins }: Pins): Pins => ({
  ...pins,
  ...(publisher !== '' && { publisher }),
})
