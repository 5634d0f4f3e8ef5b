/** What a client gets in place of an answer whose event could not be recorded. What the request asked for may have been done. */
export const UNRECORDED = {
  status: 503,
  type: 'application/problem+json',
  body: JSON.stringify({
    type: 'urn:killick:problem:unrecorded',
    title: 'The request was handled, but could not be recorded, so its answer is withheld.',
    status: 503,
    code: 'unrecorded',
  }),
} as const

/** Headers of the withheld answer that are not of its content: browsers could not read the 503 without. */
export const isKept = (header: string): boolean =>
  /^(?:access-control-|cross-origin-|strict-transport-security$|vary$)/i.test(header)
