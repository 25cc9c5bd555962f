import type { Contest, Competitor } from './model'
import { markText, resultText } from './marks'
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

const minus = (s: string) => s.replace(/-/g, '\u2212')

export const grouped = (n: number) => n.toLocaleString('en')

/** mark formats a mark or a score. */
export const mark = (c: Contest, value: number) => minus(markText(c, value))

/** result formats the result of a competitor, or a dash. */
export const result = (c: Contest, p: Competitor) =>
  minus(resultText(c, { ...p, mark: p.result })) || '\u2013'

/** rank formats a rank as 12, or =12 if it is shared. */
export const rank = (r: { rank?: number; rank_equal: boolean }) =>
  r.rank ? (r.rank_equal ? '=' : '') + r.rank : ''

/** sharesRank reports whether another competitor of a record has the same rank. */
export const sharesRank = (c: Contest, p: Competitor) =>
  p.rank !== undefined && c.competitors.some((q) => q !== p && q.rank === p.rank)

/** signed formats a difference of scores. */
export const signed = (c: Contest, n: number) => (n > 0 ? '+' : '') + mark(c, n)

const partsOfKind = (c: Contest) =>
  [words(c.sport), c.phase && c.phase.charAt(0).toUpperCase() + c.phase.slice(1), c.event, c.group].filter(
    (s, i, all): s is string => Boolean(s) && all.indexOf(s) === i,
  )

/** kindOf puts the phase before the event, because small screens cut off the end. */
export const kindOf = (c: Contest) => partsOfKind(c).map(isolated).join(' \u00b7 ')

/** The greatest number of competitors that are shown as sides: score.MaxSides. */
export const maxSides = 4

/**
 * sidesInOrder returns the competitors as they are shown: the sides of a head_to_head
 * contest in their own order, so that they do not swap when the lead changes, and
 * otherwise the best first. Record.Sides does the same.
 */
export function sidesInOrder(c: Contest): Competitor[] {
  if (c.kind === 'ranked' || c.competitors.length > maxSides) return c.competitors
  return [...c.competitors].sort((a, b) => (a.order ?? 0) - (b.order ?? 0))
}

/** hasTiebreak reports whether a tie-break period, such as a shoot-out, has begun. */
export const hasTiebreak = (c: Contest) => Boolean(c.tiebreak_periods?.length)

/** tiebreak returns the tie-break score in brackets; '' before a tie-break has begun. */
export const tiebreak = (c: Contest, p: Competitor) => (hasTiebreak(c) ? `(${p.tiebreak})` : '')

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
