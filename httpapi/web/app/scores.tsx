import { Component } from 'preact'
import { useState } from 'preact/hooks'
import type { Corrected } from './corrections'
import { hasBegun, isLive, isOver, kindOf, matches, result, titleBeside } from './format'
import type { Contest, Medals } from './model'
import { MedalTable } from './medals'
import { Badges, Clock, Headline, HiddenHeader, Isolated, Sprig, State, Value } from './parts'
import { toContest } from './route'
import { finds } from './text'
import { earlier, moment } from './time'

/** listed returns the competitors in a line of the list: both sides, or the leaders. */
function listed(c: Contest) {
  return c.kind === 'ranked' ? c.competitors.filter((p) => p.rank || p.irm).slice(0, 3) : c.competitors.slice(0, 4)
}

/** Line is rendered again only when its record has changed. */
class Line extends Component<{ contest: Contest; corrected: boolean }> {
  shouldComponentUpdate(next: { contest: Contest; corrected: boolean }) {
    return next.contest !== this.props.contest || next.corrected !== this.props.corrected
  }

  render() {
    const c = this.props.contest
    const sides = listed(c)
    const title = titleBeside(c)
    return (
      <tr class={isLive(c) ? 'live' : undefined}>
        <th scope="row">
          <a href={toContest(c.contest_id)} data-row>
            <span class="kind">{kindOf(c)}</span>
            {sides.length === 0 ? (
              <span class="side">
                <Headline contest={c} />
              </span>
            ) : (
              title && (
                <span class="title">
                  <Isolated text={title} />
                </span>
              )
            )}
            {sides.map((p) => (
              <span key={p.code} class={p.code === c.winner ? 'side winner' : 'side'}>
                {c.kind === 'ranked' && <span class="place">{p.rank}</span>}
                <span class="name">
                  <Isolated text={p.name || p.code} />
                </span>
                {p.code === c.winner && <Sprig label="winner" />}
              </span>
            ))}
          </a>
        </th>
        <td class="score">
          {sides.map((p) => (
            <span key={p.code} class={p.code === c.winner ? 'side winner' : 'side'}>
              {hasBegun(c) ? (
                <Value of={result(c, p) + p.tiebreak}>
                  {result(c, p)}
                  {p.tiebreak ? <small> ({p.tiebreak})</small> : null}
                </Value>
              ) : (
                ''
              )}
            </span>
          ))}
        </td>
        <td class="when">
          {!hasBegun(c) && c.start_time ? (
            <time dateTime={c.start_time}>
              <span class="day">{moment(c.start_time).day}</span> <Clock time={c.start_time} />
            </time>
          ) : null}
          {(hasBegun(c) || c.decision || c.schedule_status !== 'SCHEDULED') && <State contest={c} />}
          <Badges contest={c} corrected={this.props.corrected} />
        </td>
      </tr>
    )
  }
}

const pageSize = 50

function Section({
  title,
  contests,
  corrected,
}: {
  title: string
  contests: Contest[]
  corrected: Corrected
}) {
  const [limit, setLimit] = useState(pageSize)
  if (!contests.length) return null
  return (
    <div class="card">
      <table class="contests">
        <caption>
          <h2>{title}</h2> <span class="sub">{contests.length}</span>
        </caption>
        <HiddenHeader of={['Contest', 'Score', 'State']} />
        <tbody>
          {contests.slice(0, limit).map((c) => (
            <Line key={c.contest_id} contest={c} corrected={corrected.contest(c.contest_id)} />
          ))}
        </tbody>
      </table>
      {contests.length > limit && (
        <p class="more">
          <button type="button" onClick={() => setLimit(limit + 4 * pageSize)}>
            Show more of {contests.length}
          </button>
        </p>
      )}
    </div>
  )
}

const byStart = (a: Contest, b: Contest) =>
  earlier(a.start_time, b.start_time) || (a.contest_id < b.contest_id ? -1 : 1)

interface ScoresProps {
  contests: Contest[]
  medals: Medals[]
  corrected: Corrected
  names: Map<string, string>
  find: string
  onFind(s: string): void
}

export function Scores({ contests, medals, corrected, names, find, onFind }: ScoresProps) {
  const found = contests.filter((c) => matches(c, find))
  const competitions = new Set(found.map((c) => c.competition))
  const tables = medals.filter(
    (m) =>
      competitions.has(m.competition) ||
      finds(find, [m.competition, m.name, ...m.rows.flatMap((r) => [r.organisation, names.get(r.organisation)])]),
  )
  return (
    <div class="columns">
      <div>
        <search>
          <label for="find" class="hidden">
            Find a contest
          </label>
          <input
            id="find"
            type="search"
            placeholder="Find a contest, team or sport"
            autocomplete="off"
            value={find}
            onInput={(e) => onFind(e.currentTarget.value)}
          />
        </search>
        <Section title="Live" contests={found.filter(isLive).sort(byStart)} corrected={corrected} />
        <Section
          title="Next"
          contests={found.filter((c) => !isLive(c) && !isOver(c)).sort(byStart)}
          corrected={corrected}
        />
        <Section
          title="Finished"
          contests={found.filter(isOver).sort((a, b) => b.revision - a.revision)}
          corrected={corrected}
        />
        {!found.length && (
          <p class="empty">
            {find
              ? `Nothing is called ${find} here.`
              : 'No contest has been announced yet. They appear here by themselves.'}
          </p>
        )}
      </div>
      <div>
        {tables.map((m) => (
          <MedalTable
            key={m.competition}
            medals={m}
            names={names}
            corrected={corrected.organisations(m.competition)}
            most={10}
          />
        ))}
      </div>
    </div>
  )
}
