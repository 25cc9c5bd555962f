import type { MedalRow, Medals, TimelineEvent } from './model'

/** Corrections are what of a contest's timeline did not stand, and why; '' where the reason is not known. */
export interface Corrections {
  /** Events that did not stand, and those that set something right, by revision. */
  struck: Map<number, string>
  rights: Map<number, string>
  /** Marks that changed by it, by rowKey; and organisations whose medals did. */
  marks: Map<string, string>
  organisations: Map<string, string>
}

export const rowKey = (split: string, competitor: string) => split + '\n' + competitor

export const isCorrected = (c: Corrections) => c.struck.size + c.rights.size > 0

/** CorrectionsOf reads events in the order of their revisions, with voided_by as it stands now. */
export function correctionsOf(events: TimelineEvent[]): Corrections {
  const c: Corrections = { struck: new Map(), rights: new Map(), marks: new Map(), organisations: new Map() }
  const why = new Map(events.filter((e) => e.type === 'event.void').map((e) => [e.id, e.data.reason as string]))
  const awards = new Map<string, TimelineEvent>()
  let begun = false
  for (const e of events) {
    const d = e.data
    const struck = e.voided_by ? (why.get(e.voided_by) ?? '') : undefined
    if (e.type === 'medal.award') awards.set(d.award_id, e)
    const award = e.type === 'medal.revoke' ? awards.get(d.award_id) : undefined
    if (struck !== undefined && e.type !== 'event.void') c.struck.set(e.revision, struck)
    else if (struck !== undefined) continue
    else if (e.type === 'event.void') c.rights.set(e.revision, d.reason)
    else if (e.type === 'medal.revoke') {
      c.rights.set(e.revision, d.reason)
      if (award) c.struck.set(award.revision, d.reason)
    } else if (d.reason && (e.type === 'result.set' || (e.type === 'score.set' && begun))) c.rights.set(e.revision, d.reason)
    else if (e.type === 'contest.status') begun ||= Boolean(d.schedule_status && !/SCHEDULED|POSTPONED|READY/.test(d.schedule_status))
    const reason = c.rights.get(e.revision) ?? struck
    if (reason === undefined) continue
    if (e.type === 'result.set') c.marks.set(rowKey(d.split, d.competitor), reason)
    const organisation = e.type === 'medal.award' ? d.organisation : award?.data.organisation
    if (organisation) c.organisations.set(organisation, reason)
  }
  return c
}

/** Corrected remembers what this page saw to be corrected: in the timelines that were open, and in medal tables that took something back. */
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

  /** Table compares a medal table with what it was. Medals only become fewer where one is taken back. */
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

  /** The organisations of a competition whose medals were corrected, and why. */
  organisations(competition: string): Map<string, string> {
    const all = new Map([...(this.tables.get(competition) ?? [])].map((o) => [o, '']))
    for (const [id, c] of this.contests) {
      if (id.startsWith(competition + '/')) for (const [o, why] of c.organisations) all.set(o, why)
    }
    return all
  }
}
