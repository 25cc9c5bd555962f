import { correctionsOf } from './corrections'
import { Missing, type Directory } from './directory'
import type { TimelineEvent } from './model'

const pageSize = 500
const mostPages = 4
/** A crowd that sees a goal should not ask in the same millisecond. */
const spreadMS = 250
/** A marathon has more events than a page should keep: of these only the first ones, the latest, and what was corrected. */
const mostEvents = 5_000
const keptOfThem = 3_000
const firstOfThem = 200

/** Timeline keeps the events of the contest that is looked at. The stream tells that there is more; the events are asked for. */
export class Timeline {
  events: TimelineEvent[] = []
  /** Events between the first ones and the latest were left out: there are too many. */
  gap = false
  loaded = false
  corrections = correctionsOf([])
  private reached = 0
  private busy = false
  private again = false
  private timer = 0
  private over = false

  constructor(readonly contestID: string, private directory: Directory, private frontend: () => string, private changed: () => void) {}

  /** Refresh asks for what is new. At is the contest's revision, for where to look if there is very much. */
  refresh(at: number, soon = false) {
    if (this.over) return
    if (this.busy) {
      this.again = true
      return
    }
    clearTimeout(this.timer)
    this.timer = window.setTimeout(() => void this.load(at), soon ? 0 : Math.random() * spreadMS)
  }

  close() {
    this.over = true
    clearTimeout(this.timer)
  }

  add(e: TimelineEvent) {
    if (this.over || e.contest_id !== this.contestID || this.events.some((k) => k.revision === e.revision)) return
    this.events.push(e)
    this.events.sort((a, b) => a.revision - b.revision)
    this.strike()
    this.changed()
  }

  private async load(at: number) {
    this.busy = true
    try {
      for (let n = 0, more = true; more; n++) {
        more = await this.page()
        if (n === mostPages && more && at - pageSize > this.reached) {
          this.reached = at - pageSize
          this.gap = true
        }
      }
      this.loaded = true
    } catch (e) {
      this.loaded ||= e instanceof Missing
    }
    this.busy = false
    if (!this.over) this.changed()
    if (this.again) {
      this.again = false
      this.refresh(at)
    }
  }

  private async page(): Promise<boolean> {
    const id = this.contestID.split('/').map(encodeURIComponent).join('/')
    const answer = await this.directory.ask<{ events: TimelineEvent[]; next: string }>(`/v1/timeline/${id}?after=${this.reached}&limit=${pageSize}`, this.frontend())
    const known = new Set(this.events.map((e) => e.revision))
    for (const e of answer.events) {
      if (!known.has(e.revision)) this.events.push(e)
      this.reached = Math.max(this.reached, e.revision)
    }
    this.strike()
    return answer.next !== ''
  }

  /**
   * Strike strikes out what later events void: those are asked for alone, and the ones before them are not told again. Of a void that is not among the
   * events only the one that it voids tells.
   */
  private strike() {
    const voids = new Set<string>()
    const standing = new Map<string, string>()
    for (const e of [...this.events].reverse()) {
      if (e.type !== 'event.void') continue
      voids.add(e.id)
      if (!standing.has(e.id)) standing.set(e.data.voids, e.id)
    }
    for (const e of this.events) {
      const told = e.voided_by && !voids.has(e.voided_by) && !standing.has(e.voided_by) ? e.voided_by : undefined
      e.voided_by = standing.get(e.id) ?? told
    }
    this.corrections = correctionsOf(this.events)
    if (this.events.length > mostEvents) this.prune()
  }

  private prune() {
    const { struck, rights } = this.corrections
    const latest = this.events.length - keptOfThem
    const kept = this.events.filter((e, i) => i < firstOfThem || i >= latest || struck.has(e.revision) || rights.has(e.revision))
    this.events = kept.length > mostEvents ? kept.slice(-mostEvents) : kept
    this.gap = true
  }
}
