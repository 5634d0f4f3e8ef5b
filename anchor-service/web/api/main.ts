/** The API reference: Swagger UI, served from here, with the service's own OpenAPI document. */

type Asked = { url: string; headers: Record<string, string> }
type Viewer = (options: object) => unknown

const place = document.getElementById('viewer')!

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
