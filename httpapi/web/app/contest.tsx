import { useState } from 'preact/hooks'
import { isCorrected, type Corrections } from './corrections'
import {
  venueTime,
  venueDate,
  digitsOf,
  hasTiebreak,
  headline,
  sidesInOrder,
  decisionWord,
  hasBegun,
  isLive,
  kindOf,
  mark,
  result,
  signed,
  statusWord,
  tiebreak,
  words,
} from './format'
import type { Leaderboard } from './leaderboard'
import type { Contest, Competitor, TimelineEvent } from './model'
import { Badges, CorrectedBadge, HiddenHeader, Sprig, State, Value } from './parts'
import { Ranking } from './ranking'
import { toScores } from './route'
import type { Timeline } from './timeline'

function Side({ contest: c, side: p }: { contest: Contest; side: Competitor }) {
  return (
    <div class={p.code === c.winner ? 'board-side winner' : 'board-side'}>
      <span class="board-name">
        {p.name || p.code} {p.code === c.winner && <Sprig label="winner" />}
      </span>
      <Value of={p.result + tiebreak(c, p)} class="board-score">
        {hasBegun(c) ? result(c, p) : '\u2013'}
        {hasTiebreak(c) && <small> {tiebreak(c, p)}</small>}
      </Value>
    </div>
  )
}

function Board({ contest: c }: { contest: Contest }) {
  const sides = sidesInOrder(c)
  return (
    <div class={isLive(c) ? 'board live' : 'board'}>
      <Side contest={c} side={sides[0]!} />
      <div class="board-between">
        <State contest={c} />
      </div>
      <Side contest={c} side={sides[1]!} />
    </div>
  )
}

function LineScore({ contest: c }: { contest: Contest }) {
  const periods = c.periods ?? []
  const adjusted = c.competitors.some((p) => p.adjustment)
  const sides = sidesInOrder(c)
  return (
    <div
      class="card scroll"
      tabIndex={periods.length > 4 ? 0 : undefined}
      role={periods.length > 4 ? 'region' : undefined}
      aria-label={periods.length > 4 ? 'Line score' : undefined}
    >
      <table class="line">
        <caption>
          <h2>Line score</h2> {c.unit && <span class="sub">{c.unit}</span>}
        </caption>
        <thead>
          <tr>
            <th scope="col">Team</th>
            {periods.map((name) => (
              <th key={name} scope="col" class={name === c.period && isLive(c) ? 'n now' : 'n'}>
                {name}
              </th>
            ))}
            {adjusted && (
              <th scope="col" class="n">
                <abbr title="Points that are in no period">Adj.</abbr>
              </th>
            )}
            {hasTiebreak(c) && (
              <th scope="col" class="n">
                Tie-break
              </th>
            )}
            <th scope="col" class="n total">
              Total
            </th>
          </tr>
        </thead>
        <tbody>
          {sides.map((p) => (
            <tr key={p.code} class={p.code === c.winner ? 'winner' : undefined}>
              <th scope="row">
                <abbr title={p.name}>{p.code}</abbr>
              </th>
              {periods.map((name) => {
                const v = p.periods?.[name]
                return (
                  <td key={name} class="n">
                    <Value of={v}>{v == null ? '\u2013' : mark(c, v)}</Value>
                  </td>
                )
              })}
              {adjusted && (
                <td class="n">
                  <Value of={p.adjustment}>{p.adjustment ? signed(p.adjustment) : 0}</Value>
                </td>
              )}
              {hasTiebreak(c) && (
                <td class="n">
                  <Value of={p.tiebreak}>{p.tiebreak}</Value>
                </td>
              )}
              <td class="n total">
                <Value of={p.result}>{result(c, p)}</Value>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

const totals = (r: Record<string, number> | undefined) =>
  r
    ? Object.entries(r)
        .map(([code, n]) => `${code} ${n}`)
        .join(', ')
    : ''

/** describe returns an event in a few words, with its points or mark. */
function describe(c: Contest, e: TimelineEvent): [what: string, number: string] {
  const d = e.data
  const name = (code: string) => c.competitors.find((p) => p.code === code)?.name || code
  switch (e.type) {
    case 'score.play':
      return [
        [name(d.competitor), d.action && words(d.action.toLowerCase()), d.athlete]
          .filter(Boolean)
          .join(' \u00b7 '),
        d.delta ? signed(d.delta) : '',
      ]
    case 'score.set':
      return [`Score set: ${totals(d.result)}${d.adjustment ? ' \u00b7 adjustment' : ''}`, '']
    case 'result.set':
      return [
        [name(d.competitor), d.split && words(d.split)].filter(Boolean).join(' \u00b7 '),
        d.irm || mark(c, d.mark, digitsOf(c)),
      ]
    case 'contest.status':
      return [
        [
          d.schedule_status && statusWord({ ...c, ...d }),
          d.result_status && d.result_status !== 'LIVE' && words(d.result_status.toLowerCase()),
          d.period,
        ]
          .filter(Boolean)
          .join(' \u00b7 '),
        '',
      ]
    case 'contest.decide':
      return [
        d.decision
          ? [d.winner ? `${name(d.winner)} wins` : 'Nobody wins', decisionWord(d.decision)].join(' \u00b7 ')
          : 'Decision taken back',
        '',
      ]
    case 'contest.reset':
      return ['The contest begins anew', '']
    case 'medal.award':
      return [
        `${words(d.medal.toLowerCase())} for ${d.competitor ? name(d.competitor) + ', ' : ''}${d.organisation}`,
        '',
      ]
    case 'medal.revoke':
      return ['Medal revoked', '']
    case 'event.void':
      return ['Event voided', '']
    case 'contest.define':
      return ['Announced', '']
    case 'alert':
      return [d.text, '']
  }
  return [words(e.type.replace('.', ' ')), '']
}

const initialEvents = 40

/**
 * EventText shows what an event reports: struck through if it was retracted, with the
 * reason if it is part of a correction.
 */
function EventText({
  what,
  retracted,
  correction,
  comment,
}: {
  what: string
  retracted?: string
  correction?: string
  comment?: string
}) {
  const why = retracted ?? correction
  return (
    <>
      {retracted === undefined ? (
        what
      ) : (
        <del>
          <span class="hidden">voided: </span>
          {what}
        </del>
      )}
      {why !== undefined && (
        <>
          {' '}
          <CorrectedBadge /> <span class="why">{why}</span>
        </>
      )}
      {comment && <span class="why">{comment}</span>}
    </>
  )
}

function Events({ contest: c, timeline }: { contest: Contest; timeline: Timeline }) {
  const [limit, setLimit] = useState(initialEvents)
  const events = [...timeline.events].reverse()
  const sides = sidesInOrder(c)
  const { retracted, correcting } = timeline.corrections
  return (
    <div class="card">
      <table class="timeline">
        <caption>
          <h2>Timeline</h2>{' '}
          <span class="sub">{timeline.gap ? 'the first and the latest' : 'latest first'}</span>
        </caption>
        <HiddenHeader of={['When', 'What', 'Points or mark', 'Score after']} />
        <tbody>
          {events.slice(0, limit).map((e) => {
            const [what, number] = describe(c, e)
            const retraction = e.voided_by && !retracted.has(e.revision) ? '' : retracted.get(e.revision)
            const after =
              e.type === 'score.play' && e.data.result
                ? sides
                    .map((p) => (e.data.result as Record<string, number>)[p.code])
                    .filter((n) => n != null)
                    .join(':')
                : ''
            return (
              <tr
                key={e.revision}
                class={[e.type.replace('.', '-'), retraction !== undefined && 'voided']
                  .filter(Boolean)
                  .join(' ')}
                data-row
                tabIndex={-1}
              >
                <td class="when">
                  <time dateTime={e.time}>{e.data.clock || venueTime(e.time)}</time>{' '}
                  <span class="at">
                    {e.type === 'score.play' || e.type === 'score.set' ? e.data.period : ''}
                  </span>
                </td>
                <td>
                  <EventText
                    what={what}
                    retracted={retraction}
                    correction={correcting.get(e.revision)}
                    comment={e.data.comment}
                  />
                </td>
                <td class="n">{retraction !== undefined ? <del>{number}</del> : number}</td>
                <td class="n after">{retraction !== undefined ? <del>{after}</del> : after}</td>
              </tr>
            )
          })}
          {!events.length && (
            <tr>
              <td colSpan={4} class="empty">
                {timeline.loaded ? 'Nothing has been reported yet.' : 'Loading events.'}
              </td>
            </tr>
          )}
        </tbody>
      </table>
      {events.length > limit && (
        <p class="more">
          <button type="button" onClick={() => setLimit(limit + 200)}>
            Show earlier
          </button>
        </p>
      )}
    </div>
  )
}

/** The splits of the contest's latest definition, in order. */
const splitsOf = (t: Timeline): string[] =>
  t.events.findLast((e) => e.type === 'contest.define' && !e.voided_by)?.data.splits ?? []

export function ContestView({
  contest: c,
  timeline,
  board,
}: {
  contest: Contest
  timeline: Timeline
  board: Leaderboard | null
}) {
  const duel = c.kind !== 'ranked' && c.competitors.length === 2
  const corrections: Corrections = timeline.corrections
  return (
    <article>
      <p class="crumb">
        <a href={toScores}>Scores</a> <span aria-hidden="true">/</span> {kindOf(c)}
      </p>
      <div class="headline">
        <h1>{headline(c)}</h1>
        <Badges contest={c} corrected={isCorrected(corrections)} />
        {!duel && (
          <span class="now">
            <State contest={c} />
          </span>
        )}
      </div>
      <p class="facts">
        {[c.venue, c.start_time && `${venueDate(c.start_time)}, ${venueTime(c.start_time)}`]
          .filter(Boolean)
          .join(' \u00b7 ')}
      </p>
      {duel && <Board contest={c} />}
      <div class="columns even">
        <div>
          {board ? (
            <Ranking contest={c} board={board} splits={splitsOf(timeline)} corrections={corrections} />
          ) : (
            <LineScore contest={c} />
          )}
        </div>
        <div>
          <Events key={c.contest_id} contest={c} timeline={timeline} />
        </div>
      </div>
    </article>
  )
}
