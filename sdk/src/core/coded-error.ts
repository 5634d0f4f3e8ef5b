/** What the errors of the sdk have in common; each room has a class and codes of its own. */
export abstract class CodedError<Code extends string> extends Error {
  /** Stable, for programs. */
  readonly code: Code
  /** The evidence: plain JSON, safe to show. */
  readonly details: Readonly<Record<string, unknown>>

  constructor(code: Code, message: string, details: Record<string, unknown> = {}, options?: ErrorOptions) {
    super(message, options)
    this.code = code
    this.details = details
  }
}
