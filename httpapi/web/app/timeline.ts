import { Missing, type Directory } from './directory'
import type { TimelineEvent } from './model'

const pageSize = 500
const mostPages = 4
/** A crowd that sees a goal should not ask in the same millisecond. */
const spreadMS = 250

/** Timeline keeps the events of the contest that is looked at. The stream tells that there is more; the events are asked for. */
export class Timeline {
  events: TimelineEvent[] = []
  /** Events between the first ones and the latest were left out: there are too many. */
  gap = false
  loaded = false
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

  /** Strike strikes out what later events void: those are asked for alone, and the ones before them are not told again. */
  private strike() {
    const standing = new Map<string, string>()
    for (const e of [...this.events].reverse()) {
      if (e.type === 'event.void' && !standing.has(e.id)) standing.set(e.data.voids, e.id)
    }
    for (const e of this.events) e.voided_by = standing.get(e.id)
  }
}

/** Corrected: what was reported of the contest did not stand, or was set anew after it was official. */
export function corrected(events: TimelineEvent[]): boolean {
  let official = false
  return events.some((e) => {
    if (e.type === 'contest.status' && e.data.result_status && !e.voided_by) official = e.data.result_status === 'OFFICIAL' || official
    if (e.voided_by && e.type !== 'event.void') return true
    return official && (e.type === 'score.set' || e.type === 'result.set') && Boolean(e.data.reason)
  })
}
