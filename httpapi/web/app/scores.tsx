import { Component } from 'preact'
import { useState } from 'preact/hooks'
import type { Corrected } from './corrections'
import {
  hasBegun,
  hasTiebreak,
  isLive,
  kindOf,
  matches,
  maxSides,
  rank,
  result,
  sharesRank,
  sidesInOrder,
  tiebreak,
  titleBeside,
} from './format'
import type { Lookup } from './lookup'
import type { Competitor, Contest, Medals } from './model'
import { MedalTable, nameIn, type Names } from './medals'
import { Badges, Clock, Headline, HiddenHeader, Isolated, Sprig, State, Value } from './parts'
import { toContest } from './route'
import { inOrder, sectionOf, type Section as SectionName } from './section'
import type { Store } from './store'
import { finds } from './text'
import { moment } from './time'

/** listed returns the competitors in a line of the list: both sides, or the leaders. */
function listed(c: Contest) {
  return c.kind === 'ranked'
    ? c.competitors.filter((p) => p.rank || p.irm).slice(0, 3)
    : sidesInOrder(c).slice(0, maxSides)
}

/** widthOf returns the classes of a line whose scores leave little room for names on a phone. */
function widthOf(c: Contest, sides: Competitor[]): string[] {
  const longest = hasBegun(c) ? Math.max(0, ...sides.map((p) => (result(c, p) + tiebreak(c, p)).length)) : 0
  return longest > 15 ? ['wide', 'long'] : longest > 6 ? ['wide'] : []
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
      <tr class={[isLive(c) && 'live', ...widthOf(c, sides)].filter(Boolean).join(' ')}>
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
                {c.kind === 'ranked' && (
                  <span class="place">{rank({ rank: p.rank, rank_equal: sharesRank(c, p) })}</span>
                )}
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
                <Value of={result(c, p) + tiebreak(c, p)}>
                  {result(c, p)}
                  {hasTiebreak(c) && <small> {tiebreak(c, p)}</small>}
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
  total,
  corrected,
  onMore,
}: {
  title: string
  contests: Contest[]
  /** All contests of the section, which may be more. */
  total: number
  corrected: Corrected
  /** Asks for more contests. */
  onMore?: () => void
}) {
  const [limit, setLimit] = useState(pageSize)
  if (!total) return null
  const show = () => {
    const wanted = limit + 4 * pageSize
    setLimit(wanted)
    if (contests.length < wanted) onMore?.()
  }
  return (
    <div class="card">
      <table class="contests">
        <caption>
          <h2>{title}</h2> <span class="sub">{total}</span>
        </caption>
        <HiddenHeader of={['Contest', 'Score', 'State']} />
        <tbody>
          {contests.slice(0, limit).map((c) => (
            <Line key={c.contest_id} contest={c} corrected={corrected.contest(c.contest_id)} />
          ))}
        </tbody>
      </table>
      {(contests.length > limit || (onMore && total > contests.length)) && (
        <p class="more">
          <button type="button" onClick={show}>
            Show more of {total}
          </button>
        </p>
      )}
    </div>
  )
}

const titles: Record<SectionName, string> = { live: 'Live', next: 'Next', finished: 'Finished' }
const sections = ['live', 'next', 'finished'] as const

interface ScoresProps {
  store: Store
  lookup: Lookup
  medals: Medals[]
  corrected: Corrected
  names: Names
  find: string
  onFind(s: string): void
}

export function Scores({ store, lookup, medals, corrected, names, find, onFind }: ScoresProps) {
  const found = find
    ? [...store.scores.values()].filter((c) => lookup.found.has(c.contest_id) || matches(c, find))
    : []
  const competitions = new Set(found.map((c) => c.competition))
  const tables = medals.filter(
    (m) =>
      !find ||
      competitions.has(m.competition) ||
      finds(find, [m.competition, m.name, ...m.rows.flatMap((r) => [r.organisation, nameIn(m, r, names)])]),
  )
  const any = find ? found.length > 0 : sections.some((s) => store.sections[s] > 0 || store.section(s).length > 0)
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
        {sections.map((s) => {
          const list = find ? found.filter((c) => sectionOf(c) === s).sort(inOrder[s]) : store.section(s)
          return (
            <Section
              key={s}
              title={titles[s]}
              contests={list}
              total={find ? list.length : Math.max(list.length, store.sections[s])}
              corrected={corrected}
              onMore={find ? undefined : () => void lookup.more(s)}
            />
          )
        })}
        {find && lookup.searching && <p class="empty">Searching …</p>}
        {!any && !(find && lookup.searching) && (
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
