/** Requests over HTTP, and websockets. */
import { field, member, said, type Teller, type ToldStep, targetOf } from '../parts.ts'

const asked = (event: Parameters<Teller>[0], { known: { method } }: Parameters<Teller>[1]): ToldStep => {
  const path = member(event.fields.metadata, 'path')
  return [
    typeof method === 'string' ? said(method) : 'a request',
    ' ',
    typeof path === 'string' ? said(path) : targetOf(event, 'http-route'),
  ]
}

/** Of a request of any action. */
export const tellRequest: Teller = (event, step) => {
  const { status, code } = step.known
  if (step.role === 'outcome')
    return [
      typeof status === 'number' ? `status ${status}` : 'no status',
      ...(typeof code === 'string' ? [', ', said(code)] : []),
      ...field('responseBody', ': ', event, step),
    ]
  return [
    ...(step.role === 'denial' ? ['asked, and was not let: '] : []),
    ...asked(event, step),
    ...(typeof code === 'string' ? [', ', said(code)] : []),
    ...field('requestBody', ' with ', event, step),
  ]
}

export const HTTP: Readonly<Record<string, Teller>> = {
  'http.session.start': (event, step) => ['opens a connection: ', ...asked(event, step)],
  'http.session.end': (_, { known: { by, status } }) => [
    'the connection ends',
    ...(typeof by === 'string' ? [', by ', said(by)] : []),
    ...(typeof status === 'number' ? [`, status ${status}`] : []),
  ],
}
