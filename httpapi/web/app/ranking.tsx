import { useEffect, useRef, useState } from 'preact/hooks'
import { rowKey, type Corrections } from './corrections'
import { grouped, isOver, rank, sharesRank, words } from './format'
import { highlightMS, topRows, type Item, type Leaderboard } from './leaderboard'
import { gapText, resultText } from './marks'
import type { BoardRow, Contest } from './model'
import { CorrectedBadge, rendering, clearFlash, Isolated, Sprig } from './parts'
import { toContest, type Selection } from './route'
import { isolated } from './text'

/** The longest code that a competitor can have. */
const maxCode = 128

const irms: Record<string, string> = {
  DNF: 'did not finish',
  DNS: 'did not start',
  DSQ: 'disqualified',
  DQB: 'disqualified for conduct',
  LAP: 'lapped',
  NM: 'no mark',
  OTL: 'outside the time limit',
  RET: 'retired',
  WDR: 'withdrawn',
}

/** rowsFromRecord returns the rows in the contest's record, which is known before the board is. */
function rowsFromRecord(c: Contest): BoardRow[] {
  const best = c.competitors[0]?.result ?? 0
  return c.competitors
    .filter((p) => p.rank || p.irm)
    .map((p) => ({
      competitor: p.code,
      name: p.name,
      organisation: p.organisation,
      mark: p.result,
      mark2: p.mark2,
      irm: p.irm,
      out: p.out,
      rank: p.rank,
      rank_equal: sharesRank(c, p),
      diff: p.result == null ? null : Math.abs(p.result - best),
    }))
}

/** gapOf returns how far a row is behind the first. */
const gapOf = (r: BoardRow, c: Contest) =>
  r.diff && r.mark != null ? (c.sort === 'asc' ? '+' : '\u2212') + gapText(c, r.mark, r.diff) : ''

interface RowContext {
  contest: Contest
  board: Leaderboard
  selection: Selection
  corrections: Corrections
}

function RankingRow({
  row: r,
  at,
  context: { contest: c, board, selection, corrections },
}: {
  row: BoardRow
  at?: number
  context: RowContext
}) {
  const seen = useRef({ at: 0, times: 0 })
  const { highlights } = board
  if (
    rendering.flash &&
    highlights.at !== seen.current.at &&
    highlights.rows.has(r.competitor) &&
    Date.now() - highlights.at < highlightMS
  ) {
    seen.current = { at: highlights.at, times: seen.current.times + 1 }
  }
  const flash = seen.current.times ? (seen.current.times % 2 ? 'flash-a' : 'flash-b') : ''
  const followed = r.competitor === selection.around
  const why = corrections.marks.get(rowKey(board.split, r.competitor))
  const name = r.name || r.competitor
  return (
    <tr
      class={[followed && 'followed', r.competitor === c.winner && 'winner', flash].filter(Boolean).join(' ')}
      aria-rowindex={at}
      aria-current={followed || undefined}
      onAnimationEnd={clearFlash}
    >
      <td class="rank">{rank(r)}</td>
      <th scope="row">
        <a href={toContest(c.contest_id, { ...selection, around: r.competitor })} data-row class="name">
          <Isolated text={name} />
        </a>{' '}
        <span class="org">
          {[r.organisation !== r.competitor && r.organisation, ...(selection.category ? [] : (r.categories ?? []))]
            .filter((s): s is string => Boolean(s))
            .map(isolated)
            .join(' \u00b7 ')}
        </span>
        {r.competitor === c.winner && (
          <>
            {' '}
            <Sprig label="winner" />
          </>
        )}
        {why !== undefined && (
          <>
            {' '}
            <CorrectedBadge why={why} />
          </>
        )}
      </th>
      <td class="n">
        <span class="total">
          {r.irm ? (
            <abbr title={irms[r.irm]}>{r.irm}</abbr>
          ) : (
            <>
              {resultText(c, { ...r, out: '' }).replaceAll('-', '\u2212') || '\u2013'}
              {r.out && (
                <>
                  {' '}
                  <abbr title={irms[r.out]}>{r.out}</abbr>
                </>
              )}
            </>
          )}
        </span>{' '}
        <span class="gap">{gapOf(r, c)}</span>
      </td>
    </tr>
  )
}

/** StartList shows the competitors without a mark, below those that have one. */
function StartList({ contest: c, rows }: { contest: Contest; rows: BoardRow[] }) {
  const there = new Set(rows.map((r) => r.competitor))
  const waiting = c.competitors.filter((p) => !p.rank && !p.irm && !there.has(p.code))
  const total = c.total ?? 0 // of the start list, because not all in the record have a mark
  return (
    <>
      {waiting.map((p) => (
        <tr key={p.code}>
          <td class="rank" />
          <th scope="row">
            <span class="name">
              <Isolated text={p.name || p.code} />
            </span>{' '}
            {p.organisation !== p.code && (
              <span class="org">
                <Isolated text={p.organisation} />
              </span>
            )}
          </th>
          <td class="n">
            <span class="total">{'\u2013'}</span> <span class="gap" />
          </td>
        </tr>
      ))}
      {total > c.competitors.length && (
        <tr>
          <td colSpan={3} class="empty">
            The start list has {grouped(total)} competitors.
          </td>
        </tr>
      )}
    </>
  )
}

/** Splits shows the splits as tabs; the arrow keys move between them. */
function Splits({
  board,
  selection,
  splits,
}: {
  board: Leaderboard
  selection: Selection
  splits: string[]
}) {
  const shown = selection.split || board.split
  const choose = (split: string) => location.replace(toContest(board.contestID, { ...selection, split }))
  const step = (e: KeyboardEvent) => {
    const at = splits.indexOf(shown)
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: splits.length - 1 }[e.key]
    if (to === undefined) return
    e.preventDefault()
    const split = splits[(to + splits.length) % splits.length]!
    choose(split)
    document.getElementById('split-' + splits.indexOf(split))?.focus()
  }
  return (
    <div class="splits" role="tablist" aria-label="Split" onKeyDown={step}>
      {splits.map((split, i) => {
        const any = board.hasMarks.get(split)
        const here = split === shown
        return (
          <button
            key={split}
            type="button"
            role="tab"
            id={'split-' + i}
            aria-selected={here}
            aria-controls="standing"
            tabIndex={here || (i === 0 && !splits.includes(shown)) ? 0 : -1}
            class={any ? 'any' : 'none'}
            onClick={() => choose(split)}
          >
            <span class="dot" aria-hidden="true" />
            {isolated(words(split))}
            {any === false && <span class="hidden">, no mark yet</span>}
          </button>
        )
      })}
    </div>
  )
}

function Tools({
  contest: c,
  board,
  selection,
}: {
  contest: Contest
  board: Leaderboard
  selection: Selection
}) {
  const [text, setText] = useState('')
  const find = (e: Event) => {
    e.preventDefault()
    const given = text.trim().normalize()
    if (!given) return
    // A code is used as given; a name or a code in another case must match a row that is known here.
    const names = [...board.rows.values(), ...rowsFromRecord(c)]
    const same = (s: string | undefined) => s?.toLowerCase() === given.toLowerCase()
    const found =
      names.find((r) => r.competitor === given) ?? names.find((r) => same(r.competitor) || same(r.name))
    location.hash = toContest(c.contest_id, { ...selection, around: found?.competitor ?? given })
    setText('')
  }
  const categories = [...new Set([...board.categories, selection.category])].filter(Boolean).sort()
  return (
    <div class="tools">
      <form role="search" onSubmit={find}>
        <label for="bib" class="hidden">
          Find a bib or code on the board
        </label>
        <input
          id="bib"
          type="search"
          placeholder="Bib or code"
          autocomplete="off"
          maxLength={maxCode}
          enterkeyhint="search"
          value={text}
          onInput={(e) => setText(e.currentTarget.value)}
        />
        <button>Find</button>
      </form>
      {categories.length > 1 && (
        <label class="category">
          <span>Category</span>
          <select
            value={selection.category}
            onChange={(e) =>
              location.replace(toContest(c.contest_id, { ...selection, category: e.currentTarget.value }))
            }
          >
            <option value="">All</option>
            {categories.map((name) => (
              <option key={name} value={name}>
                {name}
              </option>
            ))}
          </select>
        </label>
      )}
    </div>
  )
}

/** partOf returns the words for which part of the contest the board shows. */
const partOf = (board: Leaderboard, selection: Selection) => [
  board.split && `at ${isolated(board.split)}`,
  selection.category && `in ${isolated(selection.category)}`,
]

/** Following shows the rank of the followed competitor and a link back to the top. */
function Following({ board, selection }: { board: Leaderboard; selection: Selection }) {
  if (!selection.around) return null
  const row = board.rows.get(selection.around)
  const name = row?.name || selection.around
  const where = partOf(board, selection)
    .filter(Boolean)
    .join(' ')
  return (
    <p class="following">
      <span>
        <b>
          <Isolated text={name} />
        </b>{' '}
        {row?.rank ? (
          <>
            is {row.rank_equal ? 'equal ' : ''}
            <b>{grouped(row.rank)}</b> of {grouped(board.total)} {where}
          </>
        ) : row ? (
          <>
            has no rank {where}: {row.irm}
          </>
        ) : board.missing ? (
          <>has no mark {where} yet; if one comes, it appears here</>
        ) : (
          <>is being looked up</>
        )}
      </span>
      <a href={toContest(board.contestID, { ...selection, around: '' })}>To the top</a>
    </p>
  )
}

/** withGaps merges neighbouring items without rows into one gap of their height. */
function withGaps(items: Item[]): (Item & { gone: boolean })[] {
  const list: (Item & { gone: boolean })[] = []
  for (const item of items) {
    const gone = !item.rows.length && item.known > 0
    const before = list.at(-1)
    if (gone && before?.gone) before.known += item.known
    else list.push({ ...item, gone })
  }
  return list
}

/**
 * useScrolling has the rows scroll in an element of their own; only those near the view
 * are in the document.
 */
function useScrolling(board: Leaderboard) {
  const place = useRef<HTMLDivElement>(null)
  const height = useRef(44)
  const look = () => {
    const at = place.current
    const rows = at?.querySelectorAll<HTMLElement>('tbody tr[aria-rowindex]')
    if (!at || !board.scrolling) return
    height.current = rows?.[0]?.offsetHeight || height.current
    const first = Math.floor(at.scrollTop / height.current)
    board.setVisible(first, first + Math.ceil(at.clientHeight / height.current))
  }
  useEffect(() => {
    const at = place.current
    let waits = false
    const scrolled = () => {
      if (!waits)
        requestAnimationFrame(() => {
          waits = false
          look()
        })
      waits = true
    }
    at?.addEventListener('scroll', scrolled, { passive: true })
    return () => at?.removeEventListener('scroll', scrolled)
  }, [board])
  return { place, height }
}

function Rows({
  contest: c,
  board,
  selection,
  corrections,
}: {
  contest: Contest
  board: Leaderboard
  selection: Selection
  corrections: Corrections
}) {
  const plain = !selection.around && !selection.category && (!selection.split || selection.split === c.split)
  const fromRecord = plain && !board.loaded
  const rows = fromRecord ? rowsFromRecord(c) : board.order.map((code) => board.rows.get(code)!)
  const items = withGaps(board.parts.length ? board.items() : [{ first: 0, rows, known: rows.length }])
  const all = items.flatMap((i) => i.rows)
  const context: RowContext = {
    contest: c,
    board,
    selection,
    corrections,
  }
  const { place, height } = useScrolling(board)
  const total = fromRecord ? (c.total ?? rows.length) : board.total
  const waiting =
    plain &&
    !board.scrolling &&
    (fromRecord || rows.length >= board.total) &&
    c.competitors.some((p) => !p.rank && !p.irm)
  const name = `${isOver(c) ? 'Result' : 'Standing'}${board.split ? ' at ' + board.split : ''}`
  return (
    <div
      ref={place}
      class={[board.scrolling ? 'rows open' : 'rows', !board.loaded && !fromRecord && 'old']
        .filter(Boolean)
        .join(' ')}
      aria-busy={!board.loaded}
      tabIndex={board.scrolling ? 0 : undefined}
      role={board.scrolling ? 'region' : undefined}
      aria-label={board.scrolling ? 'Rows' : undefined}
    >
      <table
        class="ranking"
        aria-rowcount={selection.around ? -1 : total + 1}
        style={{
          // The columns keep their width when other rows come: it is that of the highest rank.
          '--rank': String(total).length + 1,
          '--gap': Math.max(3, ...all.map((r) => gapOf(r, c).length)),
          '--mark': Math.max(3, ...all.map((r) => resultText(c, r).length)),
        }}
      >
        <caption>
          <span class="hidden">
            {name}, {grouped(total)} in all
          </span>
        </caption>
        <thead>
          <tr aria-rowindex={1}>
            <th scope="col" class="rank">
              <abbr title="Rank">#</abbr>
            </th>
            <th scope="col">Name</th>
            <th scope="col" class="n">
              <span>
                {c.unit && c.result_type !== 'TIME'
                  ? isolated(c.unit)
                  : words((c.result_type ?? 'result').toLowerCase())}
              </span>{' '}
              <span class="gap">Gap</span>
            </th>
          </tr>
        </thead>
        {items.map((item) =>
          item.gone ? (
            <tbody key={'gone' + item.first} class="gone" aria-hidden="true">
              <tr>
                <td colSpan={3} style={{ height: item.known * height.current + 'px' }} />
              </tr>
            </tbody>
          ) : (
            <tbody key={item.first}>
              {item.rows.map((r, i) => (
                <RankingRow
                  key={rowKey(board.split, r.competitor)}
                  row={r}
                  at={selection.around ? undefined : item.first + i + 2}
                  context={context}
                />
              ))}
              {waiting && <StartList contest={c} rows={rows} />}
              {!item.rows.length && !waiting && (
                <tr>
                  <td colSpan={3} class="empty">
                    {emptyText(board)}
                  </td>
                </tr>
              )}
            </tbody>
          ),
        )}
      </table>
    </div>
  )
}

function emptyText(board: Leaderboard): string {
  if (board.unknownSplit) return 'There is no such split.'
  if (board.failed) return 'The leaderboard is unavailable.'
  return board.loaded ? 'No mark yet.' : 'Loading the leaderboard.'
}

function More({ board, selection, total }: { board: Leaderboard; selection: Selection; total: number }) {
  const shown = board.loaded ? board.order.length : topRows
  if (board.scrolling) {
    const top = () => document.querySelector('.rows.open')?.scrollTo(0, 0)
    return (
      <p class="more">
        <button type="button" onClick={top}>
          To the top
        </button>{' '}
        <button type="button" onClick={() => board.showFewer()}>
          Show fewer
        </button>
      </p>
    )
  }
  if (shown >= total || board.failed) return null
  if (!selection.around)
    return (
      <p class="more">
        <button type="button" onClick={() => board.showMore()}>
          Show more of {grouped(total)}
        </button>
      </p>
    )
  return board.widest || board.missing ? null : (
    <p class="more">
      <button type="button" onClick={() => board.widen()}>
        Show more around
      </button>
    </p>
  )
}

/**
 * Ranking shows a ranked contest's leaderboard: the first ten rows or those around a
 * competitor, live, and the rest on request.
 */
export function Ranking({
  contest: c,
  board,
  splits,
  corrections,
}: {
  contest: Contest
  board: Leaderboard
  splits: string[]
  corrections: Corrections
}) {
  const selection = board.selection
  useEffect(() => void board.probe(splits), [splits.join('\n'), c.revision])
  const total = board.loaded ? board.total : (c.total ?? 0)
  const tools = total > topRows || selection.around || selection.category
  return (
    <div class="card standing">
      <div class="standing-head">
        <h2>{isOver(c) ? 'Result' : 'Standing'}</h2>{' '}
        <span class="sub">
          {[
            !board.unknownSplit && grouped(total),
            ...partOf(board, selection),
          ]
            .filter(Boolean)
            .join(' ')}
        </span>
      </div>
      {splits.length > 1 && <Splits board={board} selection={selection} splits={splits} />}
      {tools && <Tools contest={c} board={board} selection={selection} />}
      <div
        id="standing"
        {...(splits.length > 1
          ? {
              role: 'tabpanel',
              'aria-labelledby': 'split-' + Math.max(0, splits.indexOf(selection.split || board.split)),
            }
          : {})}
      >
        <Following board={board} selection={selection} />
        <Rows contest={c} board={board} selection={selection} corrections={corrections} />
        <More board={board} selection={selection} total={total} />
      </div>
    </div>
  )
}
