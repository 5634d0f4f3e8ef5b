/** Next calls this once, when the server starts, and not when it builds. For its edge runtime it builds a second copy. */
export async function register() {
  if (process.env.NEXT_RUNTIME === 'nodejs') await import('./lib/log.js')
}
