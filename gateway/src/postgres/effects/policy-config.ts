import { type Members, members } from '../../members.ts'
import { DAYS, type Day, type Hours, localTime } from './hours.ts'
import type { PostgresPolicy, PostgresRule, RuleEffect } from './policy.ts'
import { parseName } from './table-names.ts'

/** All that a rule may name in `does`. */
export const RULE_EFFECTS = [
  ...['read', 'write', 'unknown', 'select', 'insert', 'update', 'delete', 'merge', 'truncate', 'copy', 'ddl', 'grant'],
  ...['transaction', 'set', 'show', 'identity', 'call', 'do', 'explain', 'listen', 'notify', 'prepare', 'execute'],
  ...['deallocate', 'cursor', 'lock', 'maintenance', 'discard', 'system', 'other', 'unparsed'],
] as readonly string[] as readonly RuleEffect[]

const EFFECT = new RegExp(`^(${RULE_EFFECTS.join('|')})$`)

/** Reads the member `policy` of a configuration; `PostgresPolicy` is its manual. @param faults where what is wrong is added */
export function policyOf(policy: Members, faults: string[]): PostgresPolicy {
  const made: PostgresPolicy = {
    users: policy.texts('users'),
    databases: policy.texts('databases'),
    rules: policy.has('rules')
      ? policy.list('rules').map((each, i) => ruleOf(members(each, `/policy/rules/${i}`, faults), faults, i))
      : [],
    trust: policy.texts('trust') ?? [],
    unknown: policy.choice('unknown', ['deny', 'pass']),
  }
  policy.done()
  const names = made.rules.map(({ name }) => name)
  for (const [i, name] of names.entries())
    if (name !== '' && names.indexOf(name) < i) faults.push(`/policy/rules/${i}/name is that of another rule`)
  return made
}

function ruleOf(rule: Members, faults: string[], i: number): PostgresRule {
  const at = `/policy/rules/${i}`
  const made: PostgresRule = {
    name: rule.text('name', /^[A-Za-z0-9._-]{1,64}$/, 'must be 1 to 64 letters, digits, dots, hyphens and underscores'),
    answer: rule.choice('answer', ['deny', 'require_reason']),
    does: rule.texts('does', EFFECT, `must be a list of these: ${RULE_EFFECTS.join(', ')}`) as RuleEffect[] | null,
    tables: rule.texts('tables'),
    withoutWhere: rule.flag('withoutWhere'),
    users: rule.texts('users'),
    except: rule.texts('except') ?? [],
    databases: rule.texts('databases'),
    within: rule.has('within') ? hoursOf(rule.object('within'), `${at}/within`, faults) : null,
    outside: rule.has('outside') ? hoursOf(rule.object('outside'), `${at}/outside`, faults) : null,
  }
  rule.done()
  const { does, tables, withoutWhere, within, outside } = made
  if (isEmpty(rule, 'does')) faults.push(`${at}/does must name something`)
  if (isEmpty(rule, 'tables') || tables?.some((name) => parseName(name) === null))
    faults.push(`${at}/tables must be names of tables, such as hr.salaries or hr.*`)
  if (withoutWhere && does !== null && !does.some((each) => each === 'update' || each === 'delete'))
    faults.push(`${at}/withoutWhere is for rules whose does names update or delete`)
  if (within !== null && outside !== null) faults.push(`${at} must have one of within and outside at most`)
  return made
}

const isEmpty = (of: Members, name: string): boolean => JSON.stringify(of.any(name)) === '[]'

const CLOCK = /^([01]\d|2[0-3]):[0-5]\d$/

function hoursOf(hours: Members, at: string, faults: string[]): Hours {
  const days = hours.texts('days', new RegExp(`^(${DAYS.join('|')})$`), `must be a list of these: ${DAYS.join(', ')}`)
  const made: Hours = {
    timeZone: hours.text('timeZone'),
    days: days === null ? DAYS : (days as Day[]),
    from: hours.text('from', CLOCK, 'must be a time of day, such as 08:00', '00:00'),
    to: hours.text('to', /^(([01]\d|2[0-3]):[0-5]\d|24:00)$/, 'must be a time of day, such as 18:00', '24:00'),
  }
  hours.done()
  if (isEmpty(hours, 'days')) faults.push(`${at}/days must name a day`)
  try {
    if (made.timeZone !== '') localTime(made.timeZone, new Date(0))
  } catch {
    faults.push(`${at}/timeZone must be the IANA name of a time zone, such as Europe/Berlin`)
    made.timeZone = 'UTC'
  }
  return made
}
