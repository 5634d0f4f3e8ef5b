// Imported first by every entry that is for Node, so that an older one gives a sentence and not a puzzle. For this, nothing that is
// younger than Node 18 may be imported by its name from Node: the import alone would fail, before anything runs.
const { node } = process.versions

if (Number.parseInt(node, 10) < 22) {
  const error = new Error(
    `@killick/sdk needs Node 22 or later; this is Node ${node}. @killick/sdk/verify runs here too.`,
  )
  // Where it happened does not help: the sentence is all there is to know.
  error.stack = error.message
  throw error
}
