import { Obstacle } from './steps.ts'

/** The HTTP API of a running service, as far as `npm start` needs it. */
export interface LedgerApi {
  /** @returns The parsed body. @throws Obstacle with the service's own words for any other status than 2xx. */
  get<Body>(path: string): Promise<Body>
  post<Body>(path: string, body: unknown, as?: 'admin' | 'reader'): Promise<Body>
  text(path: string): Promise<string>
}

export function openApi(url: string, tokens: { admin: string; reader: string }): LedgerApi {
  async function call(path: string, token: string, init: RequestInit): Promise<string> {
    const response = await fetch(new URL(path, url), {
      ...init,
      headers: { ...init.headers, authorization: `Bearer ${token}` },
    })
    const text = await response.text()
    if (!response.ok) throw new Obstacle(`The service refused ${path} (${response.status}): ${text}`)
    return text
  }
  return {
    get: async (path) => JSON.parse(await call(path, tokens.reader, {})),
    text: (path) => call(path, tokens.reader, {}),
    post: async (path, body, as = 'admin') => {
      const headers = { 'content-type': 'application/json' }
      return JSON.parse(await call(path, tokens[as], { method: 'POST', headers, body: JSON.stringify(body) }))
    },
  }
}
