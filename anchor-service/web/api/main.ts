/** The API reference: Swagger UI, served from here, with the service's own OpenAPI document. */

type Asked = { url: string; headers: Record<string, string>; userFetch?: typeof beginningOf }
type Viewer = (options: object) => unknown

/** How long an answer that never ends is followed, ms. */
const FOLLOWED_MS = 3_000

const place = document.getElementById('viewer')!

/**
 * What comes of an answer within a few seconds. The viewer shows nothing before an answer has ended, and each that it waits for keeps one
 * of the live tails that an address may have open.
 */
async function beginningOf(url: string, asked: RequestInit): Promise<Response> {
  const cut = new AbortController()
  setTimeout(() => cut.abort(), FOLLOWED_MS)
  const answer = await fetch(url, { ...asked, signal: cut.signal })
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) text += part.value
  } catch (error) {
    if (!cut.signal.aborted) throw error
    text += `: this page ends it here, after ${FOLLOWED_MS / 1000} s\n`
  }
  return new Response(text, { status: answer.status, headers: answer.headers })
}

function show(viewer: Viewer): void {
  viewer({
    url: '/openapi.json',
    domNode: place,
    deepLinking: true,
    filter: true,
    tryItOutEnabled: true,
    displayOperationId: true,
    defaultModelsExpandDepth: -1,
    // It would send the document to somebody else, to be checked.
    validatorUrl: null,
    requestInterceptor: (asked: Asked) => {
      // Here, whatever address the document gives to others: the policy of this page lets it ask nobody else.
      const { pathname, search } = new URL(asked.url, location.href)
      asked.url = `${location.origin}${pathname}${search}`
      // What no other site can make a browser send: with it the console's session may also change something.
      asked.headers['x-killick-console'] = '1'
      if (pathname === '/v1/events/live') asked.userFetch = beginningOf
      return asked
    },
    onComplete: () => place.removeAttribute('aria-busy'),
  })
}

const script = document.createElement('script')
script.src = '/api/viewer.js'
script.onload = () => show((globalThis as unknown as { SwaggerUIBundle: Viewer }).SwaggerUIBundle)
script.onerror = () => {
  place.textContent = 'The viewer could not be loaded. The document itself is at /openapi.json.'
}
document.head.append(script)
