import { isUtf8 } from 'node:buffer'
import { GatewayRefusal } from './errors.ts'

/** The text of a body. @throws GatewayRefusal `collect_encoding_invalid` unless it is UTF-8 */
export function textOf(bytes: Buffer): string {
  if (!isUtf8(bytes)) throw new GatewayRefusal('collect_encoding_invalid', 'The body is not valid UTF-8.')
  return bytes.toString('utf8')
}

/** A header's value as those who set it mean it: Node reads each byte as a character, and names are sent in UTF-8. */
export function headerText(value: string): string {
  const bytes = Buffer.from(value, 'latin1')
  // A header that is given by hand has characters already.
  return isUtf8(bytes) && bytes.toString('latin1') === value ? bytes.toString() : value
}
