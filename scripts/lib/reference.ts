import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { exitWords, optionName, optionWords } from '../../sdk/src/cli/help.ts'
import { GROUPS } from '../../sdk/src/cli/table/index.ts'
import { readSettings } from './settings.ts'

// The pages of the reference that are made from the code, as Markdown.

/** Text in a cell of a table, where neither a bar nor a tag may be read as one. */
const cell = (text: string) => text.replaceAll('|', '\\|').replaceAll('<', '&lt;').replace(/\s+/g, ' ')

const table = (head: readonly string[], rows: readonly (readonly string[])[]) =>
  [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n')

export function settingsPage(): string {
  const chapters = readSettings().map(({ title, file, settings }) => {
    const ofTargets = settings.some(({ member }) => member !== null)
    const rows = settings.map(({ name, member, says, fallback }) => [
      `\`${name}\``,
      ...(ofTargets ? [member === null ? '' : `\`${member}\``] : []),
      cell(says),
      cell(fallback ?? ''),
    ])
    const head = ['variable', ...(ofTargets ? ['in `KILLICK_TARGETS`'] : []), 'what it is', 'default']
    return `## ${title}\n\n${table(head, rows)}\n\nFrom the comments of \`${file}\`.`
  })
  return `# Settings of the service

All settings are environment variables. The service reports all faults in them at once when it starts, and never prints a secret.
[OPERATION](../OPERATION.md) says which to set for production.

${chapters.join('\n\n')}
`
}

/** A metric, as its source declares it. */
export interface Metric {
  name: string
  kind: string
  help: string
  labels: string[]
}

const METRICS = [
  'http/metrics.ts',
  'http/process-metrics.ts',
  'anchor/metrics.ts',
  'audit/metrics.ts',
  'bundles/metrics.ts',
]

/** The metrics of the service, as its sources declare them: by prom-client's classes, or by the one helper for gauges that are read. */
export function readMetrics(): Metric[] {
  const sources = fileURLToPath(new URL('../../anchor-service/src', import.meta.url))
  return METRICS.flatMap((file) => {
    const source = readFileSync(join(sources, file), 'utf8')
    const declared =
      /new (Counter|Gauge|Histogram)\(\{\s*name: '(\w+)',\s*help: '(.*?)',([\s\S]*?)registers|watched\(\s*'(\w+)',\s*'(.*?)',/g
    return [...source.matchAll(declared)].map(([, kind, name, help, more = '', watched, watchedHelp]) => {
      const [, labels = ''] = more.match(/labelNames: \[(.*?)\]/) ?? []
      return {
        name: name ?? watched!,
        kind: (kind ?? 'gauge').toLowerCase(),
        help: help ?? watchedHelp!,
        labels: labels.match(/\w+/g) ?? [],
      }
    })
  })
}

export function metricsPage(): string {
  const rows = readMetrics().map(({ name, kind, help, labels }) => [
    `\`${name}\``,
    kind,
    labels.map((label) => `\`${label}\``).join(' '),
    cell(help),
  ])
  return `# Metrics

\`GET /metrics\` has them in the text format of Prometheus, beside those of the process itself (\`process_*\`, \`nodejs_*\`).
[OPERATION](../OPERATION.md) says which to watch.

${table(['metric', 'kind', 'labels', 'what it is'], rows)}
`
}

export function cliPage(): string {
  const commands = GROUPS.flatMap(({ title, commands }) => [
    `## ${title}`,
    ...commands.map(({ name, summary, usage, about, options, environment, exits, examples }) => {
      const rows = Object.entries(options).map(([option, of]) => [
        `\`${optionName(option, of)}\``,
        cell(optionWords(of)),
      ])
      return [
        `### killick ${name}`,
        `${summary[0]!.toUpperCase()}${summary.slice(1)}.`,
        `\`\`\`text\n${usage.map((line) => `killick ${line}`).join('\n')}\n\`\`\``,
        ...about.map(cell),
        ...(rows.length > 0 ? [table(['option', 'what it is'], rows)] : []),
        ...(environment
          ? [
              table(
                ['variable', 'what it is'],
                environment.map(([variable, words]) => [`\`${variable}\``, cell(words)]),
              ),
            ]
          : []),
        cell(exitWords(exits)),
        `\`\`\`sh\n${examples.join('\n')}\n\`\`\``,
      ].join('\n\n')
    }),
  ])
  return `# The command killick

\`npm install @killick/sdk\` brings the command: \`npx killick <command>\`. Here is what \`killick <command> --help\` says.

${commands.join('\n\n')}
`
}

/** The parts of an OpenAPI document that the page shows. */
export interface OpenApi {
  paths: Record<string, Record<string, Operation>>
}
interface Operation {
  summary?: string
  description?: string
  tags?: string[]
  parameters?: { name: string; in: string; required?: boolean; description?: string; schema?: { type?: string } }[]
  requestBody?: { content: Record<string, unknown> }
  responses?: Record<string, { description?: string; content?: Record<string, unknown> }>
  security?: Record<string, unknown>[]
}

export function httpPage({ paths }: OpenApi): string {
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => {
      const { summary, description, parameters = [], requestBody, responses = {}, security = [] } = operation
      const who = security.flatMap((each) => Object.keys(each))
      const rows = parameters.map(({ name, in: where, required, description = '', schema }) => [
        `\`${name}\``,
        where,
        `${schema?.type ?? ''}${required ? ', required' : ''}`.replace(/^, /, ''),
        cell(description),
      ])
      const answers = Object.entries(responses).map(([status, { description = '', content = {} }]) => [
        status,
        [...Object.keys(content).map((type) => `\`${type}\``), description.replace('Default Response', '')]
          .filter(Boolean)
          .map(cell)
          .join(', '),
      ])
      return [
        `## ${method.toUpperCase()} \`${path}\``,
        ...[summary, description].filter((text) => text !== undefined).map(cell),
        who.length > 0 ? `Token: ${who.join(' or ')}.` : 'No token.',
        ...(rows.length > 0 ? [table(['parameter', 'in', 'type', 'what it is'], rows)] : []),
        ...(requestBody
          ? [
              `Body: ${Object.keys(requestBody.content)
                .map((type) => `\`${type}\``)
                .join(' or ')}.`,
            ]
          : []),
        ...(answers.length > 0 ? [table(['answer', 'is'], answers)] : []),
      ].join('\n\n')
    }),
  )
  return `# HTTP interface

Made from the service's own \`/openapi.json\`, which has the schemas too. Refusals are problem documents (RFC 9457) with a stable
\`code\`: [ERRORS](../ERRORS.md).

${operations.join('\n\n')}
`
}
