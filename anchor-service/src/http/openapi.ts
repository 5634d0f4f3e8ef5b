/** What the OpenAPI document says of the service as a whole. */
import { readFileSync } from 'node:fs'

const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
export const VERSION = (JSON.parse(manifest) as { version: string }).version

export const OPENAPI = {
  openapi: '3.1.0',
  info: {
    title: 'Killick anchor service',
    description: 'An audit ledger that not even its operator can rewrite',
    version: VERSION,
  },
  components: {
    securitySchemes: {
      reader: { type: 'http' as const, scheme: 'bearer' },
      admin: { type: 'http' as const, scheme: 'bearer' },
    },
  },
}
