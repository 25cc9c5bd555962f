import type { Contest, Competitor } from './model'
import { finds, isolated } from './text'

const statusWords: Record<string, string> = {
  UNSCHEDULED: 'Not scheduled',
  SCHEDULED: 'Scheduled',
  GETTING_READY: 'Getting ready',
  RUNNING: 'Live',
  SCHEDULED_BREAK: 'Break',
  DELAYED: 'Delayed',
  INTERRUPTED: 'Interrupted',
  POSTPONED: 'Postponed',
  RESCHEDULED: 'Rescheduled',
  CANCELLED: 'Cancelled',
  FINISHED: 'Finished',
}

const decisionWords: Record<string, string> = {
  REGULAR: 'in regular time',
  EXTRA_TIME: 'after extra time',
  SHOOT_OUT: 'by shoot-out',
  RETIRED: 'by retirement',
  WALKOVER: 'by walkover',
  DISQUALIFIED: 'by disqualification',
  AWARDED: 'by award',
  DRAWN: 'drawn',
  ABANDONED: 'abandoned',
  RULE: 'by rule',
}

export const isLive = (c: Contest) =>
  ['RUNNING', 'SCHEDULED_BREAK', 'INTERRUPTED'].includes(c.schedule_status)
export const isOver = (c: Contest) => c.schedule_status === 'FINISHED' || c.schedule_status === 'CANCELLED'

/** hasBegun reports whether the contest has a score to show, also while it is stopped. */
export const hasBegun = (c: Contest) => !!c.started || isLive(c) || isOver(c)

/** decisionWord returns how the contest was won, or why nobody has won it. */
export const decisionWord = (decision: string | undefined) =>
  decision ? (decisionWords[decision] ?? words(decision.toLowerCase())) : ''

export const statusWord = (c: Contest) => statusWords[c.schedule_status] ?? c.schedule_status

/** The result status, if it adds to the schedule status. */
export function resultWord(c: Contest): string {
  return ['START_LIST', 'LIVE', ''].includes(c.result_status) ? '' : c.result_status
}

/** words formats an identifier such as stone-curling as Stone curling. */
export function words(s: string): string {
  const w = s.replace(/[-_]+/g, ' ')
  return w.charAt(0).toUpperCase() + w.slice(1)
}

const minus = (s: string) => s.replace(/^-/, '\u2212')

/** duration formats a time, which the API gives as a decimal number of its unit. */
function duration(value: number, unit: string, digits: number): string {
  const thousandths = Math.round(value * (unit === 'min' ? 60_000 : 1000))
  const h = Math.floor(thousandths / 3_600_000)
  const m = Math.floor(thousandths / 60_000) % 60
  const s = Math.floor(thousandths / 1000) % 60
  const rest = thousandths % 1000
  const fraction =
    rest || digits ? '.' + String(rest).padStart(3, '0').replace(/0+$/, '').padEnd(digits, '0') : ''
  const two = (n: number) => String(n).padStart(2, '0')
  if (h) return `${h}:${two(m)}:${two(s)}${fraction}`
  return m ? `${m}:${two(s)}${fraction}` : `${s}${fraction}`
}

const fractionOf = (n: number) => String(n).split('.')[1]?.length ?? 0

/** digitsOf returns the decimals with which the marks of a ranking align. */
export function digitsOf(c: Contest, marks: (number | null)[] = c.competitors.map((p) => p.result)): number {
  const factor = c.unit === 'min' && c.result_type === 'TIME' ? 60 : 1
  return Math.max(0, ...marks.map((m) => (m == null ? 0 : fractionOf(Math.round(m * factor * 1000) / 1000))))
}

export const grouped = (n: number) => n.toLocaleString('en')

export function mark(c: Contest, value: number, digits = 0): string {
  if (c.result_type === 'TIME' && (c.unit === 's' || c.unit === 'min') && value >= 0)
    return duration(value, c.unit, digits)
  return minus(value.toFixed(Math.max(digits, fractionOf(value))))
}

export function result(c: Contest, p: Competitor, digits = 0): string {
  if (p.irm) return p.irm
  return p.result == null ? '\u2013' : mark(c, p.result, digits)
}

export const signed = (n: number) => (n > 0 ? '+' + n : minus(String(n)))

const partsOfKind = (c: Contest) =>
  [words(c.sport), c.phase && c.phase.charAt(0).toUpperCase() + c.phase.slice(1), c.event, c.group].filter(
    (s, i, all): s is string => Boolean(s) && all.indexOf(s) === i,
  )

/** kindOf puts the phase before the event, because small screens cut off the end. */
export const kindOf = (c: Contest) => partsOfKind(c).map(isolated).join(' \u00b7 ')

/**
 * sidesInOrder returns the sides in the order of the title, so that they do not swap when
 * the lead changes.
 */
export function sidesInOrder(c: Contest): Competitor[] {
  const at = (p: Competitor) =>
    Math.min(...[p.code, p.name].map((s) => (s ? c.title.indexOf(s) : -1)).map((i) => (i < 0 ? 1e6 : i)))
  return [...c.competitors].sort((a, b) => at(a) - at(b) || (a.code < b.code ? -1 : 1))
}

/** What stands between two sides in a title. */
const versus = /^ *(vs?\.?|[-\u2013\u2014@/]|at) *$/i

/** namesSides reports whether a title only names the two sides, by names or codes. */
function namesSides(c: Contest): boolean {
  const [a, b] = c.competitors.map((p) => [p.code, p.name].filter(Boolean))
  if (!a || !b || c.competitors.length > 2 || c.kind === 'ranked') return false
  const are = (first: string[], last: string[]) =>
    first.some((s) =>
      last.some(
        (t) =>
          c.title.length > s.length + t.length &&
          c.title.startsWith(s) &&
          c.title.endsWith(t) &&
          versus.test(c.title.slice(s.length, -t.length)),
      ),
    )
  return are(a, b) || are(b, a)
}

/** titleBeside returns the title if it says more than the sides and the kind beside it. */
export function titleBeside(c: Contest): string {
  const known = partsOfKind(c).some((s) => s.toLowerCase() === c.title.toLowerCase())
  return known || namesSides(c) ? '' : c.title
}

/** headlineParts are the names of the two sides in the place of a title that only names them. */
export const headlineParts = (c: Contest): string[] =>
  namesSides(c) ? sidesInOrder(c).map((p) => p.name || p.code) : [c.title || c.contest_id]

export const headline = (c: Contest) => headlineParts(c).map(isolated).join(' \u2013 ')

export const matches = (c: Contest, find: string) =>
  finds(find, [
    c.contest_id,
    c.title,
    c.sport,
    c.event,
    c.phase,
    c.group,
    c.venue,
    ...c.competitors.flatMap((p) => [p.code, p.name, p.organisation]),
  ])

/** splitPeriod splits the number off the end of a period's name. */
function splitPeriod(name: string): [stem: string, number: number] {
  const stem = name.replace(/[0-9]+$/, '')
  return [stem, Number(name.slice(stem.length))]
}

/**
 * periodsOf returns the names of the periods in the order of play. Each competitor lists
 * only the periods in which it scored, so periods that differ in their number are sorted
 * by it (END2 before END10), and other periods by where competitors have them. scores.go
 * does the same.
 */
export function periodsOf(c: Contest): string[] {
  const lists = c.competitors.map((p) => Object.keys(p.periods ?? {})).sort((a, b) => b.length - a.length)
  const stems = new Map<string, number>() // the latest place at which a competitor has its first period
  for (const list of lists) {
    const own = list.map((name) => splitPeriod(name)[0])
    for (const stem of own) stems.set(stem, Math.max(stems.get(stem) ?? 0, own.indexOf(stem)))
  }
  const order = [...stems.keys()]
  return [...new Set(lists.flat())].sort((a, b) => {
    const [stemA, numberA] = splitPeriod(a)
    const [stemB, numberB] = splitPeriod(b)
    return (
      stems.get(stemA)! - stems.get(stemB)! ||
      order.indexOf(stemA) - order.indexOf(stemB) ||
      numberA - numberB
    )
  })
}
