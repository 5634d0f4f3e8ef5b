/** What whoever published the page says about keys and contract: in the page, or in a file beside it. */
import { KillickError } from '@killick/sdk/verify'
import { type Pins, readPins } from '../shared/trust.ts'

/** What the publisher of the page says, or why that counts for nothing; null where the page stands alone. */
export type Publisher = Pins | KillickError | null

export async function readPublisher(url: string): Promise<Publisher> {
  let text: string
  try {
    const response = await fetch(url, { credentials: 'omit' })
    if (!response.ok) return null
    text = await response.text()
  } catch {
    return null
  }
  // Some servers answer with a page where there is no file.
  return /^\s*</.test(text) ? null : readOrRefuse(text)
}

/** What the page itself holds of its publisher's word, so that it needs no server: a data block, written by the export. */
export function embeddedPublisher(): Publisher {
  const text = document.getElementById('trust')?.textContent
  return text ? readOrRefuse(text) : null
}

function readOrRefuse(text: string): Pins | KillickError {
  try {
    return named(readPins(text))
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    return error
  }
}

/** Who has not given a name is called by the address of the page, where it has one. */
const named = ({ publisher = location.host, ...pins }: Pins): Pins => ({
  ...pins,
  ...(publisher !== '' && { publisher }),
})
