// A server of the Model Context Protocol that answers each call at once, for measuring what stands before it.
let text = ''
process.stdin.setEncoding('utf8').on('data', (chunk: string) => {
  const lines = (text + chunk).split('\n')
  text = lines.pop()!
  for (const line of lines) {
    const { id } = JSON.parse(line) as { id: number }
    const result = { content: [{ type: 'text', text: 'The file has 12 lines.' }] }
    process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', id, result })}\n`)
  }
})
