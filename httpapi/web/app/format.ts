import type { Contest, Placed } from './model'

const statusWords: Record<string, string> = {
  UNSCHEDULED: 'Not scheduled', SCHEDULED: 'Scheduled', GETTING_READY: 'Getting ready', RUNNING: 'Live', SCHEDULED_BREAK: 'Break',
  DELAYED: 'Delayed', INTERRUPTED: 'Interrupted', POSTPONED: 'Postponed', RESCHEDULED: 'Rescheduled', CANCELLED: 'Cancelled', FINISHED: 'Finished',
}

export const isLive = (c: Contest) => ['RUNNING', 'SCHEDULED_BREAK', 'INTERRUPTED'].includes(c.schedule_status)
export const isOver = (c: Contest) => c.schedule_status === 'FINISHED' || c.schedule_status === 'CANCELLED'

export const statusWord = (c: Contest) => statusWords[c.schedule_status] ?? c.schedule_status

/** Result status, where it says more than the schedule does. */
export function resultWord(c: Contest): string {
  return ['START_LIST', 'LIVE', ''].includes(c.result_status) ? '' : c.result_status
}

/** Stone-curling is written as people do: Stone curling. */
export function words(s: string): string {
  const w = s.replace(/[-_]+/g, ' ')
  return w.charAt(0).toUpperCase() + w.slice(1)
}

const minus = (s: string) => s.replace(/^-/, '\u2212')

/** A time of a race: the interface has it as a decimal number of its unit. */
function duration(value: number, unit: string, digits: number): string {
  const thousandths = Math.round(value * (unit === 'min' ? 60_000 : 1000))
  const h = Math.floor(thousandths / 3_600_000)
  const m = Math.floor(thousandths / 60_000) % 60
  const s = Math.floor(thousandths / 1000) % 60
  const rest = thousandths % 1000
  const fraction = rest || digits ? '.' + String(rest).padStart(3, '0').replace(/0+$/, '').padEnd(digits, '0') : ''
  const two = (n: number) => String(n).padStart(2, '0')
  if (h) return `${h}:${two(m)}:${two(s)}${fraction}`
  return m ? `${m}:${two(s)}${fraction}` : `${s}${fraction}`
}

const fractionOf = (n: number) => String(n).split('.')[1]?.length ?? 0

/** How many digits after the point the marks of a ranking need, so that they stand under each other. */
export function digitsOf(c: Contest, marks: (number | null)[] = c.competitors.map((p) => p.result)): number {
  const factor = c.unit === 'min' && c.result_type === 'TIME' ? 60 : 1
  return Math.max(0, ...marks.map((m) => (m == null ? 0 : fractionOf(Math.round(m * factor * 1000) / 1000))))
}

export const grouped = (n: number) => n.toLocaleString('en')

export function mark(c: Contest, value: number, digits = 0): string {
  if (c.result_type === 'TIME' && (c.unit === 's' || c.unit === 'min') && value >= 0) return duration(value, c.unit, digits)
  return minus(value.toFixed(Math.max(digits, fractionOf(value))))
}

export function result(c: Contest, p: Placed, digits = 0): string {
  if (p.irm) return p.irm
  return p.result == null ? '\u2013' : mark(c, p.result, digits)
}

export const signed = (n: number) => (n > 0 ? '+' + n : minus(String(n)))

/** The venue's own time of day, as the event has it. */
export const clockOf = (time: string) => time.slice(11, 16)

export function dayOf(time: string): string {
  const [y, m, d] = time.slice(0, 10).split('-')
  const month = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'][Number(m) - 1] ?? m
  return `${Number(d)} ${month} ${Number(y)}`
}

/** The reader's own time of day. */
export function hereOf(ms: number): string {
  const d = new Date(ms)
  return String(d.getHours()).padStart(2, '0') + ':' + String(d.getMinutes()).padStart(2, '0')
}

/** The phase comes before the event, for the end is cut off on a small screen. */
export const kindOf = (c: Contest) => [words(c.sport), c.phase && c.phase.charAt(0).toUpperCase() + c.phase.slice(1), c.event, c.group].filter((s, i, all) => s && all.indexOf(s) === i).join(' \u00b7 ')

/** The sides do not change places with the lead: they stand as the title has them. */
export function inBoardOrder(c: Contest): Placed[] {
  const at = (p: Placed) => Math.min(...[p.code, p.name].map((s) => (s ? c.title.indexOf(s) : -1)).map((i) => (i < 0 ? 1e6 : i)))
  return [...c.competitors].sort((a, b) => at(a) - at(b) || (a.code < b.code ? -1 : 1))
}

/** Nobody needs the title where it only names the two sides that stand below it. */
export function headline(c: Contest): string {
  const title = c.title || c.contest_id
  return / vs?\.? /.test(title) && c.competitors.length > 1 ? inBoardOrder(c).map((p) => p.name || p.code).join(' \u2013 ') : title
}

export function matches(c: Contest, find: string): boolean {
  if (!find) return true
  const text = [c.contest_id, c.title, c.sport, c.event, c.phase, c.venue, ...c.competitors.flatMap((p) => [p.code, p.name, p.organisation])]
    .join(' ').toLowerCase().replace(/-/g, ' ')
  return find.toLowerCase().split(/\s+/).every((w) => text.includes(w))
}

/** Periods in the order in which they were played, the tie-break's last. */
export function periodsOf(c: Contest): string[] {
  const list: string[] = []
  for (const p of c.competitors) for (const name of Object.keys(p.periods ?? {})) if (!list.includes(name)) list.push(name)
  return list
}
