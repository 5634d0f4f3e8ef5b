// The audit webhook of Kubernetes: `audit.k8s.io/v1` EventList, as the API server posts it, and single Events.
import { isObject, type JsonObject, type JsonValue } from '@killick/sdk/core'
import { GatewayRefusal } from '../errors.ts'
import type { Received } from '../received.ts'
import { parseForeign } from './json.ts'

const GROUP = 'audit.k8s.io/v1'

type Party = { type: string; id: string } & JsonObject

/**
 * Every item of a list. One event of a request and its stage is one event here: the API server posts each stage with the same
 * `auditID`, so the stage belongs to the name.
 * @throws GatewayRefusal with the place of what cannot be read
 */
export function readEventList(text: string): Received[] {
  const value = parseForeign(text)
  if (!isObject(value) || value.apiVersion !== GROUP) throw invalid(`apiVersion must be ${GROUP}.`, '/apiVersion')
  if (value.kind === 'Event') return [readEvent(value, '')]
  if (value.kind !== 'EventList') throw invalid('kind must be EventList or Event.', '/kind')
  if (!Array.isArray(value.items)) throw invalid('items must be an array.', '/items')
  return value.items.map((item, i) => readEvent(item, `/items/${i}`))
}

function readEvent(value: JsonValue, at: string): Received {
  if (!isObject(value)) throw invalid('An item must be an object.', at)
  const text = (member: string): string => {
    const given = value[member]
    if (typeof given !== 'string' || given === '') throw invalid(`${member} is missing.`, `${at}/${member}`)
    return given
  }
  const [auditID, stage, verb] = [text('auditID'), text('stage'), text('verb')]
  const user = isObject(value.user) ? value.user : {}
  if (typeof user.username !== 'string' || user.username === '')
    throw invalid('user.username is missing.', `${at}/user/username`)
  const { username, ...moreOfUser } = user
  const object = isObject(value.objectRef) ? value.objectRef : null
  const impersonated = isObject(value.impersonatedUser) ? value.impersonatedUser : null
  const { user: _, verb: __, objectRef: ___, responseStatus, sourceIPs, userAgent, ...rest } = value
  const status = isObject(responseStatus) ? responseStatus : null
  const occurredAt = value.stageTimestamp ?? value.requestReceivedTimestamp
  const outcome = outcomeOf(status, stage)
  const ips = Array.isArray(sourceIPs) ? sourceIPs : []
  return {
    fields: {
      action: `k8s.${object ? `${object.resource ?? 'resource'}${object.subresource ? `.${object.subresource}` : ''}` : 'request'}.${verb}`,
      actor: {
        ...{
          type:
            typeof username === 'string' && username.startsWith('system:serviceaccount:') ? 'serviceaccount' : 'user',
        },
        id: username as string,
        ...moreOfUser,
        ...(impersonated !== null && { impersonated }),
      },
      targets: [targetOf(object, value.requestURI)],
      ...(outcome !== null && { outcome }),
      ...(typeof occurredAt === 'string' && { occurredAt }),
      context: {
        ...(ips.length > 0 && { ip: ips[0]!, ...(ips.length > 1 && { forwardedFor: ips }) }),
        ...(userAgent !== undefined && { userAgent }),
        requestId: auditID,
      },
      metadata: { kubernetes: { ...rest, ...(status !== null && { responseStatus: status }) } },
    },
    id: `${auditID}/${stage}`,
    source: null,
    at,
  }
}

/** Null while the request is not answered yet. */
function outcomeOf(status: JsonObject | null, stage: string): string | null {
  if (stage === 'Panic') return 'failure'
  if (typeof status?.code !== 'number') return null
  if (status.code === 401 || status.code === 403) return 'denied'
  return status.code < 400 ? 'success' : 'failure'
}

/** `<resource>` and `<namespace>/<name>`; what is not about a resource is about its address. */
function targetOf(object: JsonObject | null, uri: JsonValue | undefined): Party {
  if (object === null) return { type: 'path', id: typeof uri === 'string' && uri !== '' ? uri.slice(0, 512) : '/' }
  const { resource, namespace, name, ...rest } = object
  const path = [namespace, name].filter((part) => typeof part === 'string' && part !== '').join('/')
  return { ...rest, type: typeof resource === 'string' && resource !== '' ? resource : 'resource', id: path || '*' }
}

const invalid = (message: string, at: string): GatewayRefusal =>
  new GatewayRefusal('collect_input_invalid', message, { at })
