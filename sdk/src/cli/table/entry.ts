// The form of the table of commands. Help, man page, completion, argument parsing and the reference in docs are made from it, so
// that none of them can say what another does not.

/** An option of a command, by its long name without dashes. */
export type OptionEntry = {
  /** What stands for its value in help, such as `url`. Absent: it takes none, and is on or off. */
  readonly value?: string
  /** It may be given several times. */
  readonly repeat?: true
  /** The value if neither option, environment nor killick.json has one. */
  readonly default?: string
  /** Variable of the environment that is read if the option is absent. */
  readonly env?: string
  /** Member of killick.json that is read if option and variable are absent. */
  readonly config?: string
  /** What a shell completes its value with; absent: nothing. */
  readonly complete?: 'file' | 'folder' | readonly string[]
  readonly about: string
}

export type OptionEntries = { readonly [name: string]: OptionEntry }

/** A positional argument. */
export type ArgumentEntry = {
  readonly name: string
  readonly optional?: true
  /** As for options. */
  readonly complete?: OptionEntry['complete']
}

/** A command of `killick`. */
export type CommandEntry<O extends OptionEntries = OptionEntries> = {
  readonly name: string
  /** One line, without a full stop. */
  readonly summary: string
  /** How it is called, each without `killick`: `verify <file> [options]`. */
  readonly usage: readonly string[]
  readonly arguments?: readonly ArgumentEntry[]
  /** Paragraphs; each is wrapped. */
  readonly about: readonly string[]
  readonly options: O
  /** Variables of the environment that have no option. */
  readonly environment?: readonly (readonly [variable: string, about: string])[]
  /** Exit code if it fails before it has begun, for a command whose other codes are those of another program. */
  readonly failure?: number
  /** Exit codes that it has, in order. */
  readonly exits: readonly (readonly [code: number, meaning: string])[]
  /** Lines for a shell; a line that ends with \ goes on with the next. */
  readonly examples: readonly string[]
}

/** Commands that belong together. */
export type CommandGroup = { readonly title: string; readonly commands: readonly CommandEntry[] }

/** Keeps the names of the options as types. */
export const command = <const O extends OptionEntries>(entry: CommandEntry<O>): CommandEntry<O> => entry

/** The values of options as a command gets them. */
export type ValuesOf<O extends OptionEntries> = {
  -readonly [Name in keyof O]: O[Name] extends { value: string }
    ? O[Name] extends { repeat: true }
      ? string[]
      : O[Name] extends { default: string }
        ? string
        : string | undefined
    : boolean
}
