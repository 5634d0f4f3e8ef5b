/** What the service answers, as types for its own web pages: an answer that changes does not compile there. Nothing runs here. */
import type { Static } from '@fastify/type-provider-typebox'
import type { FrontSchema } from './schemas.ts'

export type FrontAnswer = Static<typeof FrontSchema>
