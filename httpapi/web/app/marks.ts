// Marks as people read them. Package score (format.go) formats in the same way, and
// testdata/marks.json has examples that both must follow.

/** How the marks of a contest are written. Times are in seconds. */
export interface Format {
  result_type?: string
  unit?: string
  unit2?: string
  /** asc if the lowest mark is best, or desc. */
  sort?: string
  /** The fraction digits; as many as needed without it. */
  precision?: number
}

/** What a competitor has reached. */
export interface Reached {
  mark: number | null
  mark2?: number
  irm?: string
  /** The IRM that the competitor has at another split. */
  out?: string
}

const thousandths = (n: number) => Math.round(n * 1000)

/** rounded rounds thousandths to the precision: times up, distances down, points to the nearest. */
function rounded(f: Format, d: number): number {
  if (f.precision === undefined) return d
  const step = 10 ** (3 - f.precision)
  const rest = d % step
  const cut = d - rest
  const time = f.result_type === 'TIME'
  const distance = f.result_type === 'DISTANCE'
  if ((time && rest > 0) || (!time && !distance && 2 * rest >= step)) return cut + step
  if ((distance && rest < 0) || (!time && -2 * rest >= step)) return cut - step
  return cut
}

function text(d: number, time: boolean, precision?: number): string {
  const all = Math.abs(d)
  const whole = Math.floor(all / 1000)
  const digits = String(all % 1000).padStart(3, '0')
  const fraction = precision === undefined ? digits.replace(/0+$/, '') : digits.slice(0, precision)
  const two = (n: number) => String(n % 60).padStart(2, '0')
  const minutes = Math.floor(whole / 60)
  let s = String(whole)
  if (time && minutes >= 60) s = `${Math.floor(minutes / 60)}:${two(minutes)}:${two(whole)}`
  else if (time && minutes) s = `${minutes}:${two(whole)}`
  return (d < 0 ? '-' : '') + s + (fraction && '.' + fraction)
}

const isTime = (f: Format) => f.result_type === 'TIME'

/** markText formats a mark: a time as 2:11:31.2, 9:58.1 or 9.79, anything else as a number. */
export const markText = (f: Format, mark: number) =>
  text(rounded(f, thousandths(mark)), isTime(f), f.precision)

/** gapText formats the difference of a mark to the best one: that of the two as they are written. */
export function gapText(f: Format, mark: number, diff: number): string {
  const m = thousandths(mark)
  const best = f.sort === 'asc' ? m - thousandths(diff) : m + thousandths(diff)
  return text(Math.abs(rounded(f, m) - rounded(f, best)), isTime(f), f.precision)
}

/** resultText formats what a competitor has reached; '' for nothing. */
export function resultText(f: Format, r: Reached): string {
  if (r.mark == null || r.irm) return r.irm ?? ''
  const mark2 = r.mark2 === undefined ? '' : ' / ' + text(thousandths(r.mark2), f.unit2 === 's')
  return markText(f, r.mark) + mark2 + (r.out ? ' ' + r.out : '')
}

const secondsPerUnit: Record<string, number> = { s: 1, min: 60, h: 3600 }

/** seconds converts a mark as an event gives it: a number in its unit, or a time as on a clock. */
export function seconds(given: number | string, unit = 's'): number {
  if (typeof given === 'number') return (thousandths(given) * (secondsPerUnit[unit] ?? 1)) / 1000
  return given.split(':').reduce((sum, part) => sum * 60 + Number(part), 0)
}
