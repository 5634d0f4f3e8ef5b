// A reader that takes as little CPU as it can, for it shares the cores with the service: one connection that is kept, and bytes.
import { connect } from 'node:net'
import { TOKEN } from './service.ts'

export type Reader = {
  /** The body of an answer. @throws where it is not 200 */
  ask(path: string): Promise<string>
  close(): void
}

const HEAD_END = Buffer.from('\r\n\r\n')

export function openReader(url: string): Reader {
  const { hostname, port, host } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port), noDelay: true })
  let settle: { resolve: (body: string) => void; reject: (error: Error) => void } | undefined
  let parts: Buffer[] = []
  let arrived = 0
  /** How long the answer that is coming is, and where its body begins. */
  let size = Number.POSITIVE_INFINITY
  let bodyAt = 0

  socket.on('data', (part) => {
    parts.push(part)
    arrived += part.length
    if (bodyAt === 0) readHead()
    if (arrived < size) return
    const answer = parts.length === 1 ? parts[0]! : Buffer.concat(parts)
    const { resolve, reject } = settle!
    const text = answer.toString('utf8', bodyAt)
    if (answer.toString('latin1', 9, 12) === '200') resolve(text)
    else reject(new Error(`${url} answered ${answer.toString('latin1', 9, 12)}: ${text}`))
  })
  socket.on('error', (error) => settle?.reject(error))
  socket.on('close', () => settle?.reject(new Error(`${url} closed the connection`)))

  function readHead(): void {
    const head = parts.length === 1 ? parts[0]! : Buffer.concat(parts)
    parts = [head]
    const end = head.indexOf(HEAD_END)
    if (end < 0) return
    bodyAt = end + HEAD_END.length
    size = bodyAt + Number(/^content-length: *(\d+)/im.exec(head.toString('latin1', 0, end))![1])
  }

  return {
    ask(path) {
      parts = []
      arrived = 0
      bodyAt = 0
      size = Number.POSITIVE_INFINITY
      return new Promise((resolve, reject) => {
        settle = { resolve, reject }
        socket.write(`GET ${path} HTTP/1.1\r\nhost: ${host}\r\nauthorization: Bearer ${TOKEN}\r\n\r\n`)
      })
    },
    close() {
      settle = undefined
      socket.destroy()
    },
  }
}
