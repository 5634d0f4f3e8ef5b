/** By it the command line finds a catalogue among the exports of a module, whichever copy of this package made it. */
export const BRAND: unique symbol = Symbol.for('killick.actions') as never
