#!/usr/bin/env node
// The command, as it is published. It looks at the version of Node before it loads anything that needs a newer one.
const { node } = process.versions

if (Number.parseInt(node, 10) < 22) {
  process.stderr.write(`killick needs Node 22 or later; this is Node ${node}.\n`)
  process.exitCode = 2
} else await import('./cli/main.ts')
