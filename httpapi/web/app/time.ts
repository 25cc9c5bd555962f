// Times: of the venue, with their zone.

export interface Moment {
  day: string
  clock: string
  zone: string
}

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

/** offsetOf returns the zone at the end of a timestamp: '' for UTC, else such as +09:00. */
const offsetOf = (time: string) => /[+-](?!00:00)\d\d:\d\d$/.exec(time)?.[0] ?? ''

/** inZone returns the same moment in the zone of another timestamp. */
function inZone(time: string, like: string): string {
  const offset = offsetOf(like)
  if (offset === offsetOf(time)) return time
  const minutes = Number(offset.slice(1, 3)) * 60 + Number(offset.slice(4, 6))
  const shifted = new Date(Date.parse(time) + (offset.startsWith('-') ? -minutes : minutes) * 60_000)
  const year = shifted.getUTCFullYear()
  return year >= 0 && year <= 9999 ? shifted.toISOString().slice(0, -1) + (offset || 'Z') : time
}

/**
 * moment returns the parts of a timestamp as at its venue, or in the zone of another one:
 * the times of one list have one zone.
 */
export function moment(time: string, like = time): Moment {
  const at = inZone(time, like)
  const [y, m, d] = at.slice(0, 10).split('-')
  const [, sign, hours, minutes] = /^([+-])(\d\d):(\d\d)$/.exec(offsetOf(at)) ?? []
  return {
    day: `${Number(d)} ${months[Number(m) - 1] ?? m} ${Number(y)}`,
    clock: at.slice(11, 16),
    zone: sign
      ? `UTC${sign === '-' ? '\u2212' : sign}${Number(hours)}${minutes === '00' ? '' : ':' + minutes}`
      : 'UTC',
  }
}

/** earlier compares two timestamps; what has none comes last. */
export function earlier(a: string | undefined, b: string | undefined): number {
  if (!a || !b) return (a ? 0 : 1) - (b ? 0 : 1)
  return Date.parse(a) - Date.parse(b)
}

/** localTime returns the time of day of the reader. */
export function localTime(ms: number): string {
  const d = new Date(ms)
  return String(d.getHours()).padStart(2, '0') + ':' + String(d.getMinutes()).padStart(2, '0')
}

/** localSeconds is localTime with seconds. */
export const localSeconds = (ms: number) =>
  localTime(ms) + ':' + String(new Date(ms).getSeconds()).padStart(2, '0')
