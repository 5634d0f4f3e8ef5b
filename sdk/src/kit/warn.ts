import { once } from './once.ts'

const warned = once('warned', () => new Set<string>())

/**
 * Emits a warning of the kit, once for each code in a process: `process.on('warning')` gets it, with the type `KillickWarning` and
 * the code; by default Node writes it to stderr.
 */
export function warnOnce(code: string, message: string): void {
  if (warned.has(code)) return
  warned.add(code)
  process.emitWarning(message, { type: 'KillickWarning', code })
}
