import { Corrected } from './corrections'
import type { Contest, Heartbeat, Medals, Served, Snapshot } from './model'

/** How a change came: live changes flash and are spoken, those of a resync only appear. */
export type Manner = 'live' | 'resync'

/** Store is what the page knows. A record is never replaced by one of a lower revision, whichever stream or tab that came from. */
export class Store {
  scores = new Map<string, Contest>()
  medals = new Map<string, Medals>()
  corrected = new Corrected()
  revision = 0
  private name = ''

  constructor(private changed: (manner: Manner, contest?: Contest, before?: Contest) => void) {}

  served(s: Served) {
    this.name = s.store ?? ''
    this.take({ revision: s.revision, scores: s.scores ?? [], medals: s.medals ?? [] })
  }

  snapshot(s: Snapshot) {
    this.belongs(s.store)
    this.take(s)
  }

  private take(s: Snapshot) {
    for (const r of s.scores ?? []) this.put(r)
    for (const m of s.medals ?? []) this.putMedals(m, s.revision)
    this.reached(s.revision)
    this.changed('resync')
  }

  score(r: Contest, manner: Manner) {
    const before = this.scores.get(r.contest_id)
    if (this.put(r)) this.changed(manner, r, before)
  }

  table(m: Medals, manner: Manner) {
    if (this.putMedals(m, this.revision)) this.changed(manner)
  }

  heartbeat(h: Heartbeat) {
    this.belongs(h.store)
    this.reached(h.revision)
  }

  all(): Snapshot {
    return { revision: this.revision, store: this.name, scores: [...this.scores.values()], medals: [...this.medals.values()] }
  }

  /** The competitions that the page knows. */
  competitions(): string[] {
    return [...new Set([...this.medals.keys(), ...[...this.scores.values()].map((c) => c.competition)])]
  }

  /** A demo that was started again has the same address and low revisions: what is known of the old store is not newer, but of no use. */
  private belongs(name: string | undefined) {
    if (!name || name === this.name) return
    if (this.name) {
      this.scores.clear()
      this.medals.clear()
      this.corrected.clear()
      this.revision = 0
      this.changed('resync')
    }
    this.name = name
  }

  private put(r: Contest): boolean {
    const known = this.scores.get(r.contest_id)
    if (known && known.revision >= r.revision) return false
    this.scores.set(r.contest_id, r)
    this.reached(r.revision)
    return true
  }

  private putMedals(m: Medals, revision: number): boolean {
    const given = { ...m, rows: m.rows ?? [], outside: m.outside ?? [], revision: m.revision ?? revision }
    const known = this.medals.get(m.competition)
    if (known && known.revision! >= given.revision) return false
    if (known) this.corrected.table(known, given)
    this.medals.set(m.competition, given)
    this.reached(given.revision)
    return true
  }

  private reached(revision: number) {
    if (revision > this.revision) this.revision = revision
  }
}
