import { Corrected } from './corrections'
import type { Contest, Ends, Heartbeat, Medals, Sections, Served, Snapshot } from './model'
import { inOrder, sectionOf, type Section } from './section'

/** How a change arrived: live changes flash and are announced, those of a resync are not. */
export type ChangeKind = 'live' | 'resync'

/** When there are more records than this, those that are not shown go. */
const maxRecords = 3000

/**
 * Store holds records: those that the stream begins with, those that have changed since,
 * and those that the page has asked for. It never replaces a record by one of a lower
 * revision, from whatever stream or tab.
 */
export class Store {
  scores = new Map<string, Contest>()
  medals = new Map<string, Medals>()
  corrected = new Corrected()
  /** The numbers of all contests. */
  sections: Sections = { live: 0, next: 0, finished: 0 }
  /**
   * The last contest of a section up to which the store has all of them; undefined if it has
   * the whole section.
   */
  ends: Ends = {}
  /** The revision of the last change that was counted here. */
  private counted = 0
  /** The revisions at which contests were removed. Older answers do not bring them back. */
  private gone = new Map<string, number>()
  /** The contest that is open, which is kept in any case. */
  open = ''
  revision = 0
  private incarnation = ''
  private parts: { scores: Contest[]; medals: Medals[] } = { scores: [], medals: [] }

  constructor(private changed: (kind: ChangeKind, contest?: Contest, before?: Contest) => void) {}

  served(s: Served) {
    this.incarnation = s.incarnation ?? ''
    const { revision, sections } = s
    this.merge({ revision, sections, scores: s.scores ?? [], medals: s.medals ?? [] })
  }

  /**
   * snapshot takes a part of a snapshot. With the last part, records that are not in it and
   * not newer go: nothing has been heard of their changes.
   */
  snapshot(s: Snapshot) {
    this.checkIncarnation(s.incarnation)
    const scores = this.parts.scores.concat(s.scores ?? [])
    const medals = this.parts.medals.concat(s.medals ?? [])
    this.parts = s.more ? { scores, medals } : { scores: [], medals: [] }
    if (s.more) return
    const contests = new Set(scores.map((c) => c.contest_id))
    for (const [id, c] of this.scores)
      if (!contests.has(id) && id !== this.open && c.revision <= s.revision) this.scores.delete(id)
    const competitions = new Set(medals.map((m) => m.competition))
    for (const [id, m] of this.medals)
      if (!competitions.has(id) && m.revision! <= s.revision) this.medals.delete(id)
    this.merge({ ...s, scores, medals })
  }

  private merge(s: Snapshot) {
    for (const r of s.scores ?? []) this.put(r)
    for (const m of s.medals ?? []) this.putMedals(m, s.revision)
    if (s.sections) {
      this.sections = { ...s.sections }
      this.ends = s.ends ?? {}
      for (const section of ['next', 'finished'] as const) {
        const list = (s.scores ?? []).filter((c) => sectionOf(c) === section)
        if (!s.ends && list.length < s.sections[section])
          this.ends[section] = list.sort(inOrder[section]).at(-1) ?? null
      }
    }
    this.advance(s.revision)
    this.changed('resync')
  }

  /** add takes contests that the page has asked for. */
  add(list: Contest[]) {
    for (const r of list) this.put(r)
    this.changed('resync')
  }

  /** drop drops a record of a contest that does not exist any longer. */
  drop(r: Contest | undefined) {
    if (!r || this.scores.get(r.contest_id) !== r) return
    this.scores.delete(r.contest_id)
    this.changed('resync')
  }

  /**
   * extend takes the first contests of a section, of which the last is the last of all if
   * there are no more.
   */
  extend(section: Section, list: Contest[], more: boolean) {
    if (section !== 'live') {
      if (!more) delete this.ends[section]
      else if (list.length) this.ends[section] = list.at(-1)
    }
    this.add(list)
  }

  /**
   * section returns the contests of a section, as far as the store has all of them; live
   * ones as far as it has any.
   */
  section(section: Section): Contest[] {
    const end = section === 'live' ? undefined : this.ends[section]
    if (end === null) return []
    return [...this.scores.values()]
      .filter((c) => sectionOf(c) === section && (!end || inOrder[section](c, end) <= 0))
      .sort(inOrder[section])
  }

  score(r: Contest, kind: ChangeKind) {
    const before = this.scores.get(r.contest_id)
    if (!this.put(r)) return
    if (before) this.move(before, r)
    this.changed(kind, r, before)
  }

  removed(id: string, revision: number) {
    this.gone.set(id, revision)
    const known = this.scores.get(id)
    if (!known || known.revision > revision) return
    this.scores.delete(id)
    this.sections[sectionOf(known)]--
    this.counted = revision
    this.advance(revision)
    this.changed('live')
  }

  table(m: Medals, kind: ChangeKind) {
    if (this.putMedals(m, this.revision)) this.changed(kind)
  }

  heartbeat(h: Heartbeat) {
    this.checkIncarnation(h.incarnation)
    const s = h.sections
    if (s && s.revision! >= this.counted) this.sections = { live: s.live, next: s.next, finished: s.finished }
    this.advance(h.revision)
  }

  all(): Snapshot {
    return {
      revision: this.revision,
      incarnation: this.incarnation,
      sections: this.sections,
      ends: this.ends,
      scores: [...this.scores.values()],
      medals: [...this.medals.values()],
    }
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
      this.gone.clear()
      this.parts = { scores: [], medals: [] }
      this.revision = this.counted = 0
      this.changed('resync')
    }
    this.incarnation = incarnation
  }

  private put(r: Contest): boolean {
    const known = this.scores.get(r.contest_id)
    if ((known?.revision ?? this.gone.get(r.contest_id) ?? 0) >= r.revision) return false
    this.scores.set(r.contest_id, r)
    this.advance(r.revision)
    if (this.scores.size > maxRecords) this.prune()
    return true
  }

  /** prune drops what is not shown, and the ends of long sections. */
  private prune() {
    for (const section of ['next', 'finished'] as const) {
      const all = this.section(section)
      const kept = all.slice(0, maxRecords / 3)
      if (kept.length < all.length) this.ends[section] = kept.at(-1)
      const keep = new Set(kept)
      for (const [id, c] of this.scores)
        if (sectionOf(c) === section && !keep.has(c) && id !== this.open) this.scores.delete(id)
    }
  }

  /** move counts a contest that has changed. The next heartbeat has the true numbers. */
  private move(before: Contest, after: Contest) {
    if (sectionOf(before) === sectionOf(after)) return
    this.counted = after.revision
    this.sections[sectionOf(before)]--
    this.sections[sectionOf(after)]++
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

  /** certify shows a record that is proven, instead of what some frontend sent. */
  certify(r: Contest | Medals) {
    if ('contest_id' in r) this.scores.set(r.contest_id, r)
    else this.medals.set(r.competition, r)
    this.changed('resync')
  }

  private advance(revision: number) {
    if (revision > this.revision) this.revision = revision
  }
}
