import { useState } from 'preact/hooks'
import { clockOf, dayOf, digitsOf, headline, inBoardOrder, isLive, isOver, kindOf, mark, periodsOf, result, signed, statusWord, words } from './format'
import type { Contest, Placed, TimelineEvent } from './model'
import { Badges, Heads, Sprig, State, Value } from './parts'
import { toScores } from './route'
import { corrected, type Timeline } from './timeline'

function Side({ contest: c, side: p }: { contest: Contest; side: Placed }) {
  return (
    <div class={p.code === c.winner ? 'board-side winner' : 'board-side'}>
      <span class="board-name">{p.name || p.code} {p.code === c.winner && <Sprig label="winner" />}</span>
      <Value of={p.result} class="board-score">{isLive(c) || isOver(c) ? result(c, p) : '\u2013'}</Value>
    </div>
  )
}

function Board({ contest: c }: { contest: Contest }) {
  const sides = inBoardOrder(c)
  return (
    <div class={isLive(c) ? 'board live' : 'board'}>
      <Side contest={c} side={sides[0]!} />
      <div class="board-between"><State contest={c} /></div>
      <Side contest={c} side={sides[1]!} />
    </div>
  )
}

function LineScore({ contest: c }: { contest: Contest }) {
  const periods = periodsOf(c)
  const tiebreak = c.competitors.some((p) => p.tiebreak)
  const sides = inBoardOrder(c)
  return (
    <div class="card scroll" tabIndex={periods.length > 4 ? 0 : undefined} role={periods.length > 4 ? 'region' : undefined} aria-label={periods.length > 4 ? 'Line score' : undefined}>
      <table class="line">
        <caption><h2>Line score</h2> {c.unit && <span class="sub">{c.unit}</span>}</caption>
        <thead>
          <tr>
            <th scope="col">Team</th>
            {periods.map((name) => <th key={name} scope="col" class={name === c.period && isLive(c) ? 'n now' : 'n'}>{name}</th>)}
            {tiebreak && <th scope="col" class="n">Tie-break</th>}
            <th scope="col" class="n total">Total</th>
          </tr>
        </thead>
        <tbody>
          {sides.map((p) => (
            <tr key={p.code} class={p.code === c.winner ? 'winner' : undefined}>
              <th scope="row"><abbr title={p.name}>{p.code}</abbr></th>
              {periods.map((name) => {
                const v = p.periods?.[name]
                return <td key={name} class="n"><Value of={v}>{v == null ? '\u2013' : mark(c, v)}</Value></td>
              })}
              {tiebreak && <td class="n"><Value of={p.tiebreak}>{p.tiebreak}</Value></td>}
              <td class="n total"><Value of={p.result}>{result(c, p)}</Value></td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

function gap(c: Contest, first: Placed | undefined, p: Placed, digits: number): string {
  if (p.result == null || first?.result == null || p === first || p.result === first.result) return ''
  const by = Math.round((p.result - first.result) * 1000) / 1000
  return by > 0 ? '+' + mark(c, by, digits) : mark(c, by, digits)
}

function Ranking({ contest: c }: { contest: Contest }) {
  const total = c.total ?? c.competitors.length
  const digits = digitsOf(c)
  return (
    <div class="card">
      <table class="ranking">
        <caption>
          <h2>{isOver(c) ? 'Result' : 'Standing'}</h2>{' '}
          <span class="sub">{[c.split && `at ${c.split}`, total > c.competitors.length && `first ${c.competitors.length} of ${total}`].filter(Boolean).join(', ')}</span>
        </caption>
        <thead>
          <tr>
            <th scope="col" class="rank"><abbr title="Rank">#</abbr></th>
            <th scope="col">Name</th>
            <th scope="col" class="n">{c.unit && c.result_type !== 'TIME' ? c.unit : words((c.result_type ?? 'result').toLowerCase())}</th>
            <th scope="col" class="n gap">Gap</th>
          </tr>
        </thead>
        <tbody>
          {c.competitors.map((p) => (
            <tr key={p.code} class={p.code === c.winner ? 'winner' : undefined}>
              <td class="rank">{p.rank || ''}</td>
              <th scope="row">
                <span class="name">{p.name || p.code}</span> {p.organisation && p.organisation !== p.code && <span class="org">{p.organisation}</span>}
                {p.code === c.winner && <> <Sprig label="winner" /></>}
              </th>
              <td class="n total"><Value of={p.irm ?? p.result}>{result(c, p, digits)}</Value></td>
              <td class="n gap">{gap(c, c.competitors[0], p, digits)}</td>
            </tr>
          ))}
          {!c.competitors.length && <tr><td colSpan={4} class="empty">No competitor yet.</td></tr>}
        </tbody>
      </table>
    </div>
  )
}

const totals = (r: Record<string, number> | undefined) => (r ? Object.entries(r).map(([code, n]) => `${code} ${n}`).join(', ') : '')

/** What an event says, in a few words, and the number that it brings. */
function told(c: Contest, e: TimelineEvent): [what: string, number: string] {
  const d = e.data
  const name = (code: string) => c.competitors.find((p) => p.code === code)?.name || code
  switch (e.type) {
    case 'score.play':
      return [[name(d.competitor), d.action && words(d.action.toLowerCase()), d.athlete].filter(Boolean).join(' \u00b7 '), d.delta ? signed(d.delta) : '']
    case 'score.set':
      return [`Score set: ${totals(d.result)}${d.reason ? ` (${d.reason})` : ''}`, '']
    case 'result.set':
      return [[name(d.competitor), d.split && words(d.split)].filter(Boolean).join(' \u00b7 '), d.irm || mark(c, d.mark, digitsOf(c))]
    case 'contest.status':
      return [[d.schedule_status && statusWord({ ...c, ...d }), d.result_status && d.result_status !== 'LIVE' && words(d.result_status.toLowerCase()), d.period].filter(Boolean).join(' \u00b7 '), '']
    case 'medal.award':
      return [`${words(d.medal.toLowerCase())} for ${d.competitor ? name(d.competitor) + ', ' : ''}${d.organisation}`, '']
    case 'medal.revoke':
      return [`Medal taken back: ${d.reason}`, '']
    case 'event.void':
      return [`Correction: ${d.reason}`, '']
    case 'contest.define':
      return ['Announced', '']
    case 'alert':
      return [d.text, '']
  }
  return [words(e.type.replace('.', ' ')), '']
}

const firstEvents = 40

function Events({ contest: c, timeline }: { contest: Contest; timeline: Timeline }) {
  const [most, more] = useState(firstEvents)
  const events = [...timeline.events].reverse()
  const sides = inBoardOrder(c)
  const why = new Map(events.filter((e) => e.type === 'event.void').map((e) => [e.id, e.data.reason as string]))
  return (
    <div class="card">
      <table class="timeline">
        <caption><h2>Timeline</h2> <span class="sub">{timeline.gap ? 'the first and the latest' : 'latest first'}</span></caption>
        <Heads of={['When', 'What', 'Points or mark', 'Score after']} />
        <tbody>
          {events.slice(0, most).map((e) => {
            const [what, number] = told(c, e)
            const after = e.type === 'score.play' && e.data.result ? sides.map((p) => (e.data.result as Record<string, number>)[p.code]).filter((n) => n != null).join(':') : ''
            return (
              <tr key={e.revision} class={[e.type.replace('.', '-'), e.voided_by && 'voided'].filter(Boolean).join(' ')} data-row tabIndex={-1}>
                <td class="when"><time dateTime={e.time}>{e.data.clock || clockOf(e.time)}</time> <span class="at">{e.type === 'score.play' ? e.data.period : ''}</span></td>
                <td>
                  {e.voided_by ? <><del><span class="hidden">voided: </span>{what}</del> <span class="why">{why.get(e.voided_by)}</span></> : what}
                  {e.data.comment && <span class="why">{e.data.comment}</span>}
                </td>
                <td class="n">{e.voided_by ? <del>{number}</del> : number}</td>
                <td class="n after">{e.voided_by ? <del>{after}</del> : after}</td>
              </tr>
            )
          })}
          {!events.length && <tr><td colSpan={4} class="empty">{timeline.loaded ? 'Nothing has been reported yet.' : 'Loading what happened.'}</td></tr>}
        </tbody>
      </table>
      {events.length > most && <p class="more"><button type="button" onClick={() => more(most + 200)}>Show earlier</button></p>}
    </div>
  )
}

export function ContestView({ contest: c, timeline }: { contest: Contest; timeline: Timeline }) {
  const duel = c.kind !== 'ranked' && c.competitors.length === 2
  return (
    <article>
      <p class="crumb"><a href={toScores}>Scores</a> <span aria-hidden="true">/</span> {kindOf(c)}</p>
      <div class="headline">
        <h1>{headline(c)}</h1>
        <Badges contest={c} corrected={corrected(timeline.events)} />
        {!duel && <span class="now"><State contest={c} /></span>}
      </div>
      <p class="facts">{[c.venue, c.start_time && `${dayOf(c.start_time)}, ${clockOf(c.start_time)}`].filter(Boolean).join(' \u00b7 ')}</p>
      {duel && <Board contest={c} />}
      <div class="columns even">
        <div>{c.kind === 'ranked' || !c.competitors.length ? <Ranking contest={c} /> : <LineScore contest={c} />}</div>
        <div><Events key={c.contest_id} contest={c} timeline={timeline} /></div>
      </div>
    </article>
  )
}
