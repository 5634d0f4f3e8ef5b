import { afterAll, beforeAll } from 'vitest'
import { postgres } from './support.ts'

beforeAll(() => postgres.start())
afterAll(postgres.stop)

await import('./rows.ts')
await import('./delivery.ts')
await import('./first-start.ts')
await import('./sealed.ts')
