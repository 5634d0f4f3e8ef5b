// A restore drill: starts a service on a restored database and has the whole ledger in it computed again, and held against what
// the outside world was given: receipts in the spools of recorders, checkpoints that somebody kept, anchors on chain.
//
//   DATABASE_URL=postgres://…/restored KILLICK_DATA=./restored KILLICK_ORIGIN=… node drill.mjs --receipts ./spool --since checkpoint.txt …
//
// The options are those of `killick audit`, and so is the exit code: 0 says that nothing is missing and nothing is altered.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { loadConfig, startAnchoring, startService } from '@killick/anchor-service'

const config = loadConfig({
  KILLICK_LOG_LEVEL: 'error',
  ...process.env,
  HOST: '127.0.0.1',
  PORT: '0',
  // What is restored beside the ledger that is in use must not anchor in its name.
  KILLICK_WORKER: 'off',
  KILLICK_AUDIT_INTERVAL_MS: '0',
})
const service = await startService(config, startAnchoring)
try {
  const audit = spawn('npx', ['--no-install', 'killick', 'audit', ...process.argv.slice(2)], {
    stdio: 'inherit',
    env: { ...process.env, KILLICK_URL: service.url, KILLICK_TOKEN: service.tokens.reader },
  })
  const [code] = await once(audit, 'exit')
  process.exitCode = code ?? 1
} finally {
  await service.close()
}
