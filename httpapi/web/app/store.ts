import { Corrected } from './corrections'
import type { Contest, Heartbeat, Medals, Served, Snapshot } from './model'

/** How a change arrived: live changes flash and are announced, those of a resync are not. */
export type ChangeKind = 'live' | 'resync'

/**
 * Store holds the records. It never replaces a record by one of a lower revision, from
 * whatever stream or tab.
 */
export class Store {
  scores = new Map<string, Contest>()
  medals = new Map<string, Medals>()
  corrected = new Corrected()
  revision = 0
  private incarnation = ''

  constructor(private changed: (kind: ChangeKind, contest?: Contest, before?: Contest) => void) {}

  served(s: Served) {
    this.incarnation = s.incarnation ?? ''
    this.merge({ revision: s.revision, scores: s.scores ?? [], medals: s.medals ?? [] })
  }

  snapshot(s: Snapshot) {
    this.checkIncarnation(s.incarnation)
    this.merge(s)
  }

  private merge(s: Snapshot) {
    for (const r of s.scores ?? []) this.put(r)
    for (const m of s.medals ?? []) this.putMedals(m, s.revision)
    this.advance(s.revision)
    this.changed('resync')
  }

  score(r: Contest, kind: ChangeKind) {
    const before = this.scores.get(r.contest_id)
    if (this.put(r)) this.changed(kind, r, before)
  }

  table(m: Medals, kind: ChangeKind) {
    if (this.putMedals(m, this.revision)) this.changed(kind)
  }

  heartbeat(h: Heartbeat) {
    this.checkIncarnation(h.incarnation)
    this.advance(h.revision)
  }

  all(): Snapshot {
    return {
      revision: this.revision,
      incarnation: this.incarnation,
      scores: [...this.scores.values()],
      medals: [...this.medals.values()],
    }
  }

  /** competitions returns the known competitions. */
  competitions(): string[] {
    return [...new Set([...this.medals.keys(), ...[...this.scores.values()].map((c) => c.competition)])]
  }

  /**
   * checkIncarnation forgets everything when the store has another incarnation. A demo that was
   * restarted has the same address and low revisions, so the old records would look
   * newer.
   */
  private checkIncarnation(incarnation: string | undefined) {
    if (!incarnation || incarnation === this.incarnation) return
    if (this.incarnation) {
      this.scores.clear()
      this.medals.clear()
      this.corrected.clear()
      this.revision = 0
      this.changed('resync')
    }
    this.incarnation = incarnation
  }

  private put(r: Contest): boolean {
    const known = this.scores.get(r.contest_id)
    if (known && known.revision >= r.revision) return false
    this.scores.set(r.contest_id, r)
    this.advance(r.revision)
    return true
  }

  private putMedals(m: Medals, revision: number): boolean {
    const given = { ...m, rows: m.rows ?? [], outside: m.outside ?? [], revision: m.revision ?? revision }
    const known = this.medals.get(m.competition)
    if (known && known.revision! >= given.revision) return false
    if (known) this.corrected.table(known, given)
    this.medals.set(m.competition, given)
    this.advance(given.revision)
    return true
  }

  private advance(revision: number) {
    if (revision > this.revision) this.revision = revision
  }
}
