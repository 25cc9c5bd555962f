import type { MedalRow, Medals, TimelineEvent } from './model'

/**
 * Corrections holds the corrected parts of a timeline with the reasons; '' where the
 * reason is not known.
 */
export interface Corrections {
  /** Events that were voided or revoked, and events that correct something, by revision. */
  retracted: Map<number, string>
  correcting: Map<number, string>
  /** Corrected marks by rowKey, and organisations with corrected medals. */
  marks: Map<string, string>
  organisations: Map<string, string>
  /** The award that each revocation takes back, by the revision of the revocation. */
  revoked: Map<number, TimelineEvent>
}

export const rowKey = (split: string, competitor: string) => split + '\n' + competitor

export const isCorrected = (c: Corrections) => c.retracted.size + c.correcting.size > 0

/**
 * correctionsOf derives the corrections from events in the order of their revisions, with
 * current voided_by.
 */
export function correctionsOf(events: TimelineEvent[]): Corrections {
  const c: Corrections = {
    retracted: new Map(),
    correcting: new Map(),
    marks: new Map(),
    organisations: new Map(),
    revoked: new Map(),
  }
  const why = new Map(
    events.filter((e) => ['event.void', 'contest.reset'].includes(e.type)).map((e) => [e.revision, e.data.reason as string]),
  )
  const awards = new Map<string, TimelineEvent>()
  let begun = false
  let official = false
  for (const e of events) {
    const d = e.data
    const retracted = e.voided_by ? (why.get(e.voided_by) ?? '') : undefined
    if (e.type === 'medal.award') awards.set(d.award_id, e)
    const award = e.type === 'medal.revoke' ? awards.get(d.award_id) : undefined
    if (award) c.revoked.set(e.revision, award)
    if (retracted !== undefined && e.type !== 'event.void') c.retracted.set(e.revision, retracted)
    else if (retracted !== undefined) continue
    else if (e.type === 'event.void' || e.type === 'contest.reset') c.correcting.set(e.revision, d.reason)
    else if (e.type === 'medal.revoke') {
      c.correcting.set(e.revision, d.reason)
      if (award) c.retracted.set(award.revision, d.reason)
    } else if (d.reason && (e.type === 'result.set' || (['score.set', 'contest.define'].includes(e.type) && begun)))
      c.correcting.set(e.revision, d.reason)
    else if (d.reason && official && (e.type === 'contest.decide' || e.type === 'contest.status'))
      c.correcting.set(e.revision, d.reason)
    if (e.type === 'contest.status' && retracted === undefined) {
      begun ||= Boolean(d.schedule_status && !/SCHEDULED|POSTPONED|READY/.test(d.schedule_status))
      official ||= d.result_status === 'OFFICIAL'
    }
    const reason = c.correcting.get(e.revision) ?? retracted
    if (reason === undefined) continue
    if (e.type === 'result.set') c.marks.set(rowKey(d.split, d.competitor), reason)
    const organisation = e.type === 'medal.award' ? d.organisation : award?.data.organisation
    if (organisation) c.organisations.set(organisation, reason)
  }
  return c
}

/**
 * Corrected remembers the corrections that this page has seen: in the timelines that were
 * open, and in medal tables that lost a medal.
 */
export class Corrected {
  private contests = new Map<string, Corrections>()
  private tables = new Map<string, Set<string>>()

  clear() {
    this.contests.clear()
    this.tables.clear()
  }

  timeline(contest: string, c: Corrections) {
    if (isCorrected(c)) this.contests.set(contest, c)
    else this.contests.delete(contest)
  }

  /**
   * table compares a medal table with its previous state: a count falls only if a medal
   * was revoked.
   */
  table(before: Medals, now: Medals) {
    const all = (m: Medals) => [...m.rows, ...m.outside]
    const rows = new Map(all(now).map((r) => [r.organisation, r]))
    for (const was of all(before)) {
      const is: Partial<MedalRow> = rows.get(was.organisation) ?? {}
      if ((['gold', 'silver', 'bronze'] as const).every((m) => (is[m] ?? 0) >= was[m])) continue
      const table = this.tables.get(now.competition) ?? new Set()
      this.tables.set(now.competition, table.add(was.organisation))
    }
  }

  contest(id: string): boolean {
    return this.contests.has(id)
  }

  /**
   * organisations returns the organisations of a competition with corrected medals, and
   * the reasons.
   */
  organisations(competition: string): Map<string, string> {
    const all = new Map([...(this.tables.get(competition) ?? [])].map((o) => [o, '']))
    for (const [id, c] of this.contests) {
      if (id.startsWith(competition + '/')) for (const [o, why] of c.organisations) all.set(o, why)
    }
    return all
  }
}
