import { correctionsOf } from './corrections'
import { BadRequest, NotFound, type Directory } from './directory'
import type { TimelineEvent } from './model'
import { encoded } from './route'

const pageSize = 500
const maxPages = 4
/** Thousands of clients that learn of an event should not ask in the same millisecond. */
const spreadMS = 250
const retryMS = 2_000
/**
 * A longer timeline is reduced to its first and latest events and those that are part of
 * a correction.
 */
const maxEvents = 5_000
const keepLatest = 3_000
const keepFirst = 200
/** The types of events that no longer count after a contest.reset. */
const endedByReset = ['contest.status', 'contest.decide', 'score.play', 'score.set', 'result.set']

/**
 * Timeline holds the events of the open contest. The stream only signals changes; the
 * events are fetched.
 */
export class Timeline {
  events: TimelineEvent[] = []
  /** Events between the first and the latest were left out. */
  gap = false
  loaded = false
  corrections = correctionsOf([])
  private reached = 0
  private loading = false
  private refreshAgain = false
  private timer = 0
  private closed = false

  constructor(
    readonly contestID: string,
    private directory: Directory,
    private frontend: () => string,
    private changed: () => void,
  ) {}

  /** refresh fetches new events. If there are too many, it skips to the end, near revision at. */
  refresh(at: number, soon = false) {
    if (this.closed) return
    if (this.loading) {
      this.refreshAgain = true
      return
    }
    clearTimeout(this.timer)
    this.timer = window.setTimeout(() => void this.load(at), soon ? 0 : Math.random() * spreadMS)
  }

  close() {
    this.closed = true
    clearTimeout(this.timer)
  }

  add(e: TimelineEvent) {
    if (this.closed || e.contest_id !== this.contestID || this.events.some((k) => k.revision === e.revision))
      return
    this.events.push(e)
    this.events.sort((a, b) => a.revision - b.revision)
    this.applyVoids()
    this.changed()
  }

  private async load(at: number) {
    this.loading = true
    let failed = false
    try {
      for (let n = 0, more = true; more; n++) {
        more = await this.page()
        if (n === maxPages && more && at - pageSize > this.reached) {
          this.reached = at - pageSize
          this.gap = true
        }
      }
      this.loaded = true
    } catch (e) {
      this.loaded ||= e instanceof NotFound
      failed = !(e instanceof NotFound || e instanceof BadRequest)
    }
    this.loading = false
    if (!this.closed) this.changed()
    if (this.refreshAgain) {
      this.refreshAgain = false
      this.refresh(at)
    } else if (failed && !this.closed) this.timer = window.setTimeout(() => void this.load(at), retryMS)
  }

  private async page(): Promise<boolean> {
    const answer = await this.directory.fetchJSON<{ events: TimelineEvent[]; next: string }>(
      `/v1/timeline/${encoded(this.contestID)}?after=${this.reached}&limit=${pageSize}`,
      this.frontend(),
    )
    const known = new Set(this.events.map((e) => e.revision))
    for (const e of answer.events) {
      if (!known.has(e.revision)) this.events.push(e)
      this.reached = Math.max(this.reached, e.revision)
    }
    this.applyVoids()
    return answer.next !== ''
  }

  /**
   * applyVoids updates voided_by from the voids and resets: only new events are fetched, so
   * older ones do not learn that they were voided. A void that is not among the events is
   * known only from the event that it voids.
   */
  private applyVoids() {
    const voids = new Set<number>()
    const active = new Map<number, number>()
    let reset = 0
    for (const e of [...this.events].reverse()) {
      if (e.type === 'contest.reset') {
        voids.add(e.revision)
        if (!active.has(e.revision)) reset ||= e.revision
      }
      if (!e.voids) continue
      voids.add(e.revision)
      if (!active.has(e.revision)) active.set(e.voids, e.revision)
    }
    for (const e of this.events) {
      const other =
        e.voided_by && !voids.has(e.voided_by) && !active.has(e.voided_by) ? e.voided_by : undefined
      const ended = e.revision < reset && endedByReset.includes(e.type) ? reset : undefined
      e.voided_by = active.get(e.revision) ?? other ?? ended
    }
    this.corrections = correctionsOf(this.events)
    if (this.events.length > maxEvents) this.prune()
  }

  private prune() {
    const { retracted, correcting } = this.corrections
    const latest = this.events.length - keepLatest
    const kept = this.events.filter(
      (e, i) => i < keepFirst || i >= latest || retracted.has(e.revision) || correcting.has(e.revision),
    )
    this.events = kept.length > maxEvents ? kept.slice(-maxEvents) : kept
    this.gap = true
  }
}
