import { isUtf8 } from 'node:buffer'
import { GatewayRefusal } from './errors.ts'

/** The text of a body. @throws GatewayRefusal `collect_encoding_invalid` unless it is UTF-8 */
export function textOf(bytes: Buffer): string {
  if (!isUtf8(bytes)) throw new GatewayRefusal('collect_encoding_invalid', 'The body is not valid UTF-8.')
  return bytes.toString('utf8')
}
