// The two interfaces by which libraries of schemas can be used without being known: https://standardschema.dev. Types alone; the
// specification asks those who need no more to repeat them.

import { escapePointer } from '../core/pointer.ts'

/** Where an issue lies: a name or index, or an object that holds it. */
type Segment = PropertyKey | { readonly key: PropertyKey }

/** What a schema finds wrong with a value. */
export type SchemaIssue = { readonly message: string; readonly path?: readonly Segment[] | undefined }

type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] }

/** A schema of any library that implements Standard Schema 1: zod, valibot, arktype and many others. */
export type StandardSchema<Input = unknown, Output = Input> = {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly types?: { readonly input: Input; readonly output: Output } | undefined
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>
    /** Standard JSON Schema 1; of those libraries that have it. */
    readonly jsonSchema?:
      | { readonly output: (options: { readonly target: string }) => Record<string, unknown> }
      | undefined
  }
}

/** What a value must be before it is checked. */
export type InputOf<Schema> = Schema extends StandardSchema ? NonNullable<Schema['~standard']['types']>['input'] : never

/** Where an issue lies, as a JSON pointer. */
export const pointerOf = ({ path = [] }: SchemaIssue): string =>
  path
    .map((segment) => String(typeof segment === 'object' ? segment.key : segment))
    .map((name) => `/${escapePointer(name)}`)
    .join('')
