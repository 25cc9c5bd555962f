import { useState } from 'preact/hooks'
import type { Mark } from './certified'
import { isCorrected, type Corrections } from './corrections'
import {
  hasTiebreak,
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
import { resultText, seconds } from './marks'
import type { Contest, Competitor, TimelineEvent } from './model'
import {
  Badges,
  CertifiedMark,
  Clock,
  CorrectedBadge,
  Headline,
  HiddenHeader,
  Isolated,
  Sprig,
  State,
  Value,
} from './parts'
import { Ranking } from './ranking'
import { toScores } from './route'
import { isolated } from './text'
import { moment } from './time'
import type { Timeline } from './timeline'

function Side({ contest: c, side: p }: { contest: Contest; side: Competitor }) {
  return (
    <div class={p.code === c.winner ? 'board-side winner' : 'board-side'}>
      <span class="board-name">
        <Isolated text={p.name || p.code} /> {p.code === c.winner && <Sprig label="winner" />}
      </span>
      <Value of={p.result + tiebreak(c, p)} class="board-score">
        {hasBegun(c) ? result(c, p) : '\u2013'}
        {hasTiebreak(c) && <small> {tiebreak(c, p)}</small>}
      </Value>
    </div>
  )
}

/** letters returns about how many digits are as wide as a text. */
const letters = (s: string) => [...s].reduce((n, char) => n + (/[0-9.,:\u2013]/.test(char) ? 1 : 1.3), 0)

/** longest returns the letters of the longest word of some names. */
const longest = (names: string[]) => Math.max(...names.flatMap((s) => s.split(/[\s-]+/)).map((w) => [...w].length))

function Board({ contest: c }: { contest: Contest }) {
  const sides = sidesInOrder(c)
  return (
    <div
      class={isLive(c) ? 'board live' : 'board'}
      style={{
        '--digits': Math.max(2, ...sides.map((p) => letters(result(c, p)) + 0.45 * letters(tiebreak(c, p)))),
        '--word': longest(sides.map((p) => p.name || p.code)),
      }}
    >
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
  const inTiebreak = c.tiebreak_periods?.includes(c.period)
  const wide = periods.length + Number(adjusted) + Number(hasTiebreak(c)) > 4
  const sides = sidesInOrder(c)
  return (
    <div
      class="card scroll"
      tabIndex={wide ? 0 : undefined}
      role={wide ? 'region' : undefined}
      aria-label={wide ? 'Line score' : undefined}
    >
      <table class="line">
        <caption>
          <h2>Line score</h2> {c.unit && (
            <span class="sub">
              <Isolated text={c.unit} />
            </span>
          )}
        </caption>
        <thead>
          <tr>
            <th scope="col">Team</th>
            {periods.map((name) => (
              <th key={name} scope="col" class={name === c.period && isLive(c) ? 'n now' : 'n'}>
                <Isolated text={name} />
              </th>
            ))}
            {adjusted && (
              <th scope="col" class="n">
                <abbr title="Points that are in no period">Adj.</abbr>
              </th>
            )}
            {hasTiebreak(c) && (
              <th scope="col" class={inTiebreak && isLive(c) ? 'n now' : 'n'}>
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
                <abbr title={p.name}>
                  <Isolated text={p.code} />
                </abbr>
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
                  <Value of={p.adjustment}>{signed(c, p.adjustment ?? 0)}</Value>
                </td>
              )}
              {hasTiebreak(c) && (
                <td class="n">
                  <Value of={p.tiebreak}>{p.tiebreak}</Value>
                </td>
              )}
              <td class="n total">
                <Value of={p.result}>{hasBegun(c) ? result(c, p) : '\u2013'}</Value>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

const totals = (c: Contest, r: Record<string, number> = {}) =>
  Object.entries(r)
    .map(([code, n]) => `${isolated(code)} ${mark(c, n)}`)
    .join(', ')

/** holder names who was given a medal. */
function holder(c: Contest, award: TimelineEvent): string {
  const { competitor, organisation } = award.data
  return (competitor ? nameOf(c, competitor) + ', ' : '') + isolated(organisation)
}

const nameOf = (c: Contest, code: string) =>
  isolated(c.competitors.find((p) => p.code === code)?.name || code)

/** givenMark formats the marks of an event, which are in the units of the bard. */
function givenMark(c: Contest, d: TimelineEvent['data']): string {
  const time = c.result_type === 'TIME'
  const first = time ? seconds(d.mark, c.event_unit) : d.mark
  const second = c.unit2 === 's' && d.mark2 !== undefined ? seconds(d.mark2, c.event_unit2) : d.mark2
  return resultText(c, { mark: first, mark2: second })
}

/**
 * describe returns an event in a few words, with its points or mark. before is the event
 * that it takes back, if it does and that is known.
 */
function describe(c: Contest, e: TimelineEvent, before?: TimelineEvent): [what: string, number: string] {
  const d = e.data
  const name = (code: string) => nameOf(c, code)
  switch (e.type) {
    case 'score.play':
      return [
        [name(d.competitor), d.action && isolated(words(d.action.toLowerCase())), d.athlete && isolated(d.athlete)]
          .filter(Boolean)
          .join(' \u00b7 '),
        d.delta ? signed(c, d.delta) : '',
      ]
    case 'score.set':
      return [
        [`Score set${d.period ? ', ' + isolated(d.period) : ''}: ${totals(c, d.result)}`, d.adjustment && 'adjustment']
          .filter(Boolean)
          .join(' \u00b7 '),
        '',
      ]
    case 'result.set':
      return [
        [name(d.competitor), d.split && isolated(words(d.split))].filter(Boolean).join(' \u00b7 '),
        d.irm || givenMark(c, d),
      ]
    case 'contest.status':
      return [
        [
          d.schedule_status && statusWord({ ...c, ...d }),
          d.result_status && d.result_status !== 'LIVE' && words(d.result_status.toLowerCase()),
          d.period && isolated(d.period),
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
      return [`${words(d.medal.toLowerCase())} for ${holder(c, e)}`, '']
    case 'medal.revoke':
      return [
        before ? `${words(before.data.medal.toLowerCase())} taken back from ${holder(c, before)}` : 'Medal taken back',
        '',
      ]
    case 'event.void':
      if (before?.type === 'event.void') return ['Void taken back', '']
      return before ? [`Voided: ${describe(c, before).filter(Boolean).join(' ')}`, ''] : ['Event voided', '']
    case 'contest.define':
      return [d.reason ? 'Defined anew' : 'Announced', '']
    case 'competitor.define':
      return [`Competes: ${d.name ? isolated(d.name) : name(d.competitor)}`, '']
    case 'alert':
      return [isolated(d.text), '']
  }
  return [words(e.type.replace('.', ' ')), '']
}

const initialEvents = 40

/**
 * EventText shows what an event reports: struck through if it was retracted, with the
 * reason, marked if it is part of a correction.
 */
function EventText({
  what,
  retracted,
  correction,
  reason,
  comment,
}: {
  what: string
  retracted?: string
  correction?: string
  reason?: string
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
          <CorrectedBadge />{' '}
          <span class="why">
            <Isolated text={why} />
          </span>
        </>
      )}
      {[why === undefined && reason, comment].map(
        (text) =>
          text && (
            <span class="why">
              <Isolated text={text} />
            </span>
          ),
      )}
    </>
  )
}

function Events({ contest: c, timeline }: { contest: Contest; timeline: Timeline }) {
  const [limit, setLimit] = useState(initialEvents)
  const events = [...timeline.events].reverse()
  const sides = sidesInOrder(c)
  const { retracted, correcting, revoked } = timeline.corrections
  const byRevision = new Map(events.map((e) => [e.revision, e]))
  const at = (e: TimelineEvent) => moment(e.time, c.start_time ?? 'Z')
  return (
    <div class="card">
      <table class="timeline">
        <caption>
          <h2>Timeline</h2>{' '}
          <span class="sub">{timeline.gap ? 'the first and the latest' : 'latest first'}</span>
        </caption>
        <HiddenHeader of={['When', 'What', 'Points or mark', 'Score after']} />
        <tbody>
          {events.slice(0, limit).map((e, i, shown) => {
            const [what, number] = describe(c, e, revoked.get(e.revision) ?? byRevision.get(e.voids ?? 0))
            const retraction = e.voided_by && !retracted.has(e.revision) ? '' : retracted.get(e.revision)
            const after =
              e.type === 'score.play' && e.data.result
                ? sides
                    .map((p) => (e.data.result as Record<string, number | undefined>)[p.code])
                    .filter((n) => n !== undefined)
                    .map((n) => mark(c, n))
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
                  {at(e).day !== (shown[i - 1] && at(shown[i - 1]!).day) && <span class="day">{at(e).day} </span>}
                  <time dateTime={e.time}>
                    {e.data.clock ? (
                      <Isolated text={e.data.clock} />
                    ) : (
                      <Clock time={e.time} like={c.start_time ?? 'Z'} />
                    )}
                  </time>{' '}
                  <span class="at">
                    {e.type === 'score.play' && e.data.period && <Isolated text={e.data.period} />}
                  </span>
                </td>
                <td>
                  <EventText
                    what={what}
                    retracted={retraction}
                    correction={correcting.get(e.revision)}
                    reason={e.data.reason}
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

/** The splits of the contest's latest definition that has or clears them, in order. */
const splitsOf = (t: Timeline): string[] =>
  t.events.findLast((e) => e.type === 'contest.define' && !e.voided_by && 'splits' in e.data)?.data.splits ?? []

export function ContestView({
  contest: c,
  timeline,
  board,
  mark,
}: {
  contest: Contest
  timeline: Timeline
  board: Leaderboard | null
  mark?: Mark
}) {
  const duel = c.kind !== 'ranked' && c.competitors.length === 2
  const corrections: Corrections = timeline.corrections
  return (
    <article>
      <p class="crumb">
        <a href={toScores}>Scores</a> <span aria-hidden="true">/</span> {kindOf(c)}
      </p>
      <div class="headline">
        <h1>
          <Headline contest={c} />
        </h1>
        <Badges contest={c} corrected={isCorrected(corrections)} />
        {!duel && (
          <span class="now">
            <State contest={c} />
          </span>
        )}
      </div>
      <p class="facts">
        {c.venue && <Isolated text={c.venue} />}
        {c.venue && c.start_time && ' \u00b7 '}
        {c.start_time && (
          <time dateTime={c.start_time}>
            {moment(c.start_time).day}, <Clock time={c.start_time} />
          </time>
        )}
      </p>
      {duel && <Board contest={c} />}
      {mark && <CertifiedMark mark={mark} without={board ? 'standing and the timeline' : 'timeline'} />}
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
