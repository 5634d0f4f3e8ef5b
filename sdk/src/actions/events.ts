// The types of events that a catalogue allows.
import type { Severity } from '../core/catalogue.ts'
import type { Party, Recordable, RecordableObject } from '../core/fields.ts'
import type { KitEvent, RedactionRules } from '../kit/index.ts'
import type { InputOf, StandardSchema } from './standard-schema.ts'

/** What an event may be required to have: a field, or a reason (`metadata.reason`). */
type Requirement = 'outcome' | 'context' | 'changes' | 'metadata' | 'occurredAt' | 'reason'

/** What one action is. Everything has a default. */
export type ActionDefinition = {
  /** What the action is, for people; at most 2,000 characters. */
  readonly about?: string | undefined
  /**
   * The type of its targets, or several: an event has at least one target, and each is of one of these. `null`: it has no target.
   * Default: any number of any type.
   */
  readonly target?: string | readonly string[] | null | undefined
  /** What each event must have, and not empty; also fields that the application has declared. */
  readonly requires?: readonly (Requirement | (string & {}))[] | undefined
  /** Schema of the metadata, of any library that implements Standard Schema; it must answer at once. Default: anything. */
  readonly metadata?: StandardSchema | undefined
  /** JSON Schema of the same, where the library makes none; an object of JSON's values, of whatever type libraries say that it is. */
  readonly jsonSchema?: object | undefined
  readonly severity?: Severity | undefined
  /** Rules by which values are removed before an event of this action is signed. */
  readonly redact?: RedactionRules | undefined
}

/** Actions by name. */
export type ActionDefinitions = { readonly [action: string]: ActionDefinition }

type PartyOf<Type extends string> = Party & { readonly type: Type }

type Targeted<Type extends string> =
  | { readonly target: PartyOf<Type>; readonly targets?: readonly PartyOf<Type>[] | undefined }
  | { readonly target?: undefined; readonly targets: readonly [PartyOf<Type>, ...PartyOf<Type>[]] }

type TargetsOf<Definition> = Definition extends { readonly target: infer Target }
  ? Target extends string
    ? Targeted<Target>
    : Target extends readonly (infer Type extends string)[]
      ? Targeted<Type>
      : { readonly target?: undefined; readonly targets?: readonly [] | undefined }
  : { readonly target?: Party | undefined; readonly targets?: readonly Party[] | undefined }

type AsRecordable<Input> = Input extends RecordableObject ? Input : Input & RecordableObject

type MetadataOf<Definition> = Definition extends { readonly metadata: infer Schema extends StandardSchema }
  ? Record<never, never> extends InputOf<Schema>
    ? { readonly metadata?: AsRecordable<InputOf<Schema>> | undefined }
    : { readonly metadata: AsRecordable<InputOf<Schema>> }
  : { readonly metadata?: RecordableObject | undefined }

type Requires<Definition> = Definition extends { readonly requires: readonly (infer Name extends string)[] }
  ? Name
  : never

type RequiredOf<Name extends string> = {
  readonly [Field in Name]: Field extends 'metadata'
    ? unknown
    : Field extends keyof KitEvent
      ? NonNullable<KitEvent[Field]>
      : Recordable
}

type BaseOf<Action extends string, Definition> = Omit<
  KitEvent,
  'action' | 'target' | 'targets' | 'metadata' | 'catalogue' | 'outcome'
> & { readonly action: Action } & TargetsOf<Definition>

/**
 * An event of one action. Of one that says that it came to nothing (`failure`, `denied`), neither `changes` nor metadata are required.
 */
export type EventFor<Action extends string, Definition> =
  | (BaseOf<Action, Definition> & { readonly outcome?: 'success' | undefined } & MetadataOf<Definition> &
      RequiredOf<Requires<Definition>>)
  | (BaseOf<Action, Definition> & { readonly outcome: 'failure' | 'denied' } & Partial<MetadataOf<Definition>> &
      RequiredOf<Exclude<Requires<Definition>, 'changes' | 'metadata'>>)

/** The events of a catalogue, a union by action. */
export type EventOf<Definitions> = {
  [Action in keyof Definitions & string]: EventFor<Action, Definitions[Action]>
}[keyof Definitions & string]
