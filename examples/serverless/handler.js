// A function on a platform that freezes the process as soon as the answer is out, thaws it for the next call, and ends it without a word.
// There is no disk to trust, so record() waits for the ledger: whoever has the answer knows that the ledger has the event.
import { openAuditLog } from '@killick/sdk'

// Opened once for each process, not for each call. A process that answered nothing yet has nothing to lose.
const audit = await openAuditLog({
  url: process.env.KILLICK_URL ?? 'http://127.0.0.1:8787',
  source: 'downloads',
  key: process.env.KILLICK_KEY ?? './downloads.key.json',
  logKey: process.env.KILLICK_LOG_KEY,
  spool: 'memory',
  acceptWaitMs: 5_000, // shorter than the platform's own limit
})

export async function handler({ user, file }) {
  try {
    const { id } = await audit.record({
      action: 'file.download',
      actor: { type: 'user', id: user },
      targets: [{ type: 'file', id: file }],
      outcome: 'success',
    })
    return { statusCode: 200, body: id }
  } catch ({ code, message }) {
    // The ledger did not say that it has the event, so the file is not handed out.
    return { statusCode: 503, body: `${code}: ${message}` }
  }
}
