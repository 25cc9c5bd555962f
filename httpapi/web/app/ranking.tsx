import { useEffect, useRef, useState } from 'preact/hooks'
import { rowKey, type Corrections } from './corrections'
import { digitsOf, grouped, isOver, mark, words } from './format'
import { newsMS, topRows, type Item, type Leaderboard } from './leaderboard'
import type { BoardRow, Contest } from './model'
import { CorrectedBadge, rendering, settle, Sprig } from './parts'
import { toContest, type Sight } from './route'

/** A longer one is nobody's. */
const mostCode = 128

const irms: Record<string, string> = { DNF: 'did not finish', DNS: 'did not start', DSQ: 'disqualified' }

/** What the contest's own record shows of its board: it is there before the board is. */
function recorded(c: Contest): BoardRow[] {
  const best = c.competitors[0]?.result ?? 0
  return c.competitors.filter((p) => p.rank || p.irm).map((p) => ({
    competitor: p.code, name: p.name, organisation: p.organisation, mark: p.result, irm: p.irm, rank: p.rank,
    rank_equal: c.competitors.some((q) => q !== p && q.rank !== undefined && q.rank === p.rank), diff: p.result == null ? null : Math.abs(p.result - best),
  }))
}

/** Whether a smaller mark is the better one, as the rows stand. */
function leastIsBest(c: Contest, rows: BoardRow[]): boolean {
  const marks = rows.flatMap((r) => (r.mark == null ? [] : [r.mark]))
  const first = marks[0], last = marks.at(-1)
  return first === undefined || first === last ? c.result_type === 'TIME' : first < last!
}

interface Look {
  contest: Contest
  board: Leaderboard
  sight: Sight
  corrections: Corrections
  digits: number
  behind: '+' | '\u2212'
}

function Place({ row: r, at, look: { contest: c, board, sight, corrections, digits, behind } }: { row: BoardRow; at?: number; look: Look }) {
  const seen = useRef({ at: 0, times: 0 })
  const { news } = board
  if (rendering.flashes && news.at !== seen.current.at && news.rows.has(r.competitor) && Date.now() - news.at < newsMS) {
    seen.current = { at: news.at, times: seen.current.times + 1 }
  }
  const flash = seen.current.times ? (seen.current.times % 2 ? 'flash-a' : 'flash-b') : ''
  const followed = r.competitor === sight.around
  const why = corrections.marks.get(rowKey(board.split, r.competitor))
  const name = r.name || r.competitor
  return (
    <tr class={[followed && 'followed', r.competitor === c.winner && 'winner', flash].filter(Boolean).join(' ')} aria-rowindex={at} aria-current={followed || undefined} onAnimationEnd={settle}>
      <td class="rank">{r.rank ? (r.rank_equal ? '=' : '') + r.rank : ''}</td>
      <th scope="row">
        <a href={toContest(c.contest_id, { ...sight, around: r.competitor })} data-row class="name">{name}</a>{' '}
        <span class="org">{[r.organisation !== r.competitor && r.organisation, !sight.category && r.category].filter(Boolean).join(' \u00b7 ')}</span>
        {r.competitor === c.winner && <> <Sprig label="winner" /></>}
        {why !== undefined && <> <CorrectedBadge why={why} /></>}
      </th>
      <td class="n">
        <span class="total">{r.irm ? <abbr title={irms[r.irm]}>{r.irm}</abbr> : r.mark == null ? '\u2013' : mark(c, r.mark, digits)}</span>{' '}
        <span class="gap">{r.diff ? behind + mark(c, r.diff, digits) : ''}</span>
      </td>
    </tr>
  )
}

/** Who is on the start list and has no mark yet stands below those who have. */
function Waiting({ contest: c, rows }: { contest: Contest; rows: BoardRow[] }) {
  const there = new Set(rows.map((r) => r.competitor))
  return (
    <>
      {c.competitors.filter((p) => !p.rank && !p.irm && !there.has(p.code)).map((p) => (
        <tr key={p.code}>
          <td class="rank" />
          <th scope="row"><span class="name">{p.name || p.code}</span> {p.organisation !== p.code && <span class="org">{p.organisation}</span>}</th>
          <td class="n"><span class="total">{'\u2013'}</span> <span class="gap" /></td>
        </tr>
      ))}
    </>
  )
}

/** Splits are tabs: the arrows go from one to the next, as everywhere. */
function Splits({ board, sight, splits }: { board: Leaderboard; sight: Sight; splits: string[] }) {
  const shown = sight.split || board.split
  const choose = (split: string) => location.replace(toContest(board.contestID, { ...sight, split }))
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
        const any = board.any.get(split)
        const here = split === shown
        return (
          <button key={split} type="button" role="tab" id={'split-' + i} aria-selected={here} aria-controls="standing" tabIndex={here || (i === 0 && !splits.includes(shown)) ? 0 : -1} class={any ? 'any' : 'none'} onClick={() => choose(split)}>
            <span class="dot" aria-hidden="true" />{words(split)}{any === false && <span class="hidden">, no mark yet</span>}
          </button>
        )
      })}
    </div>
  )
}

function Tools({ contest: c, board, sight }: { contest: Contest; board: Leaderboard; sight: Sight }) {
  const [text, write] = useState('')
  const find = (e: Event) => {
    e.preventDefault()
    const given = text.trim()
    if (!given) return
    // A code is written as it is; a name, or another case, is found among those who are known here.
    const names = [...board.rows.values(), ...recorded(c)]
    const same = (s: string | undefined) => s?.toLowerCase() === given.toLowerCase()
    const found = names.find((r) => r.competitor === given) ?? names.find((r) => same(r.competitor) || same(r.name))
    location.hash = toContest(c.contest_id, { ...sight, around: found?.competitor ?? given })
    write('')
  }
  const categories = [...new Set([...board.categories, sight.category])].filter(Boolean).sort()
  return (
    <div class="tools">
      <form role="search" onSubmit={find}>
        <label for="bib" class="hidden">Find a bib or code on the board</label>
        <input id="bib" type="search" placeholder="Bib or code" autocomplete="off" maxLength={mostCode} enterkeyhint="search" value={text} onInput={(e) => write(e.currentTarget.value)} />
        <button>Find</button>
      </form>
      {categories.length > 1 && (
        <label class="category">
          <span>Category</span>
          <select value={sight.category} onChange={(e) => location.replace(toContest(c.contest_id, { ...sight, category: e.currentTarget.value }))}>
            <option value="">All</option>
            {categories.map((name) => <option key={name} value={name}>{name}</option>)}
          </select>
        </label>
      )}
    </div>
  )
}

/** Following says where who is followed stands, and how to get back. */
function Following({ board, sight }: { board: Leaderboard; sight: Sight }) {
  if (!sight.around) return null
  const row = board.rows.get(sight.around)
  const name = row?.name || sight.around
  const where = [board.split && `at ${board.split}`, sight.category && `in ${sight.category}`].filter(Boolean).join(' ')
  return (
    <p class="following">
      <span>
        <b>{name}</b>{' '}
        {row?.rank ? <>is {row.rank_equal ? 'equal ' : ''}<b>{grouped(row.rank)}</b> of {grouped(board.total)} {where}</>
          : row ? <>has no rank {where}: {row.irm}</>
            : board.missing ? <>has no mark {where} yet; if one comes, it appears here</> : <>is looked for</>}
      </span>
      <a href={toContest(board.contestID, { ...sight, around: '' })}>To the top</a>
    </p>
  )
}

/** The items as they are drawn: neighbours that are not there become one space of their height. */
function drawn(items: Item[]): (Item & { gone: boolean })[] {
  const list: (Item & { gone: boolean })[] = []
  for (const item of items) {
    const gone = !item.rows.length && item.known > 0
    const before = list.at(-1)
    if (gone && before?.gone) before.known += item.known
    else list.push({ ...item, gone })
  }
  return list
}

/** Rows scroll in a place of their own once there are more than the window; only those near are in the document. */
function useScrolling(board: Leaderboard) {
  const place = useRef<HTMLDivElement>(null)
  const height = useRef(44)
  const look = () => {
    const at = place.current
    const rows = at?.querySelectorAll<HTMLElement>('tbody tr[aria-rowindex]')
    if (!at || !board.scrolling) return
    height.current = rows?.[0]?.offsetHeight || height.current
    const first = Math.floor(at.scrollTop / height.current)
    board.see(first, first + Math.ceil(at.clientHeight / height.current))
  }
  useEffect(() => {
    const at = place.current
    let waits = false
    const scrolled = () => {
      if (!waits) requestAnimationFrame(() => { waits = false; look() })
      waits = true
    }
    at?.addEventListener('scroll', scrolled, { passive: true })
    return () => at?.removeEventListener('scroll', scrolled)
  }, [board])
  return { place, height }
}

function Rows({ contest: c, board, sight, corrections }: { contest: Contest; board: Leaderboard; sight: Sight; corrections: Corrections }) {
  const plain = !sight.around && !sight.category && (!sight.split || sight.split === c.split)
  const fromRecord = plain && !board.loaded
  const rows = fromRecord ? recorded(c) : board.order.map((code) => board.rows.get(code)!)
  const items = drawn(board.parts.length ? board.items() : [{ first: 0, rows, known: rows.length }])
  const all = items.flatMap((i) => i.rows)
  const look: Look = {
    contest: c, board, sight, corrections, digits: digitsOf(c, all.map((r) => r.mark)), behind: leastIsBest(c, all) ? '+' : '\u2212',
  }
  const { place, height } = useScrolling(board)
  const total = fromRecord ? (c.total ?? rows.length) : board.total
  const waiting = plain && !board.scrolling && (fromRecord || rows.length >= board.total) && c.competitors.some((p) => !p.rank && !p.irm)
  const name = `${isOver(c) ? 'Result' : 'Standing'}${board.split ? ' at ' + board.split : ''}`
  return (
    <div ref={place} class={[board.scrolling ? 'rows open' : 'rows', !board.loaded && !fromRecord && 'old'].filter(Boolean).join(' ')} aria-busy={!board.loaded} tabIndex={board.scrolling ? 0 : undefined} role={board.scrolling ? 'region' : undefined} aria-label={board.scrolling ? 'Rows' : undefined}>
      <table class="ranking" aria-rowcount={sight.around ? -1 : total + 1}>
        <caption><span class="hidden">{name}, {grouped(total)} in all</span></caption>
        <thead>
          <tr aria-rowindex={1}>
            <th scope="col" class="rank"><abbr title="Rank">#</abbr></th>
            <th scope="col">Name</th>
            <th scope="col" class="n"><span>{c.unit && c.result_type !== 'TIME' ? c.unit : words((c.result_type ?? 'result').toLowerCase())}</span> <span class="gap">Gap</span></th>
          </tr>
        </thead>
        {items.map((item) => item.gone ? (
          <tbody key={'gone' + item.first} class="gone" aria-hidden="true"><tr><td colSpan={3} style={{ height: item.known * height.current + 'px' }} /></tr></tbody>
        ) : (
          <tbody key={item.first}>
            {item.rows.map((r, i) => <Place key={rowKey(board.split, r.competitor)} row={r} at={sight.around ? undefined : item.first + i + 2} look={look} />)}
            {waiting && <Waiting contest={c} rows={rows} />}
            {!item.rows.length && !waiting && <tr><td colSpan={3} class="empty">{nothing(board)}</td></tr>}
          </tbody>
        ))}
      </table>
    </div>
  )
}

function nothing(board: Leaderboard): string {
  if (board.refused) return 'There is no such split.'
  if (board.failed) return 'The board cannot be read now.'
  return board.loaded ? 'No mark yet.' : 'Loading the board.'
}

function More({ board, sight, total }: { board: Leaderboard; sight: Sight; total: number }) {
  const shown = board.loaded ? board.order.length : topRows
  if (board.scrolling) {
    const top = () => document.querySelector('.rows.open')?.scrollTo(0, 0)
    return <p class="more"><button type="button" onClick={top}>To the top</button> <button type="button" onClick={() => board.fewer()}>Show fewer</button></p>
  }
  if (shown >= total || board.failed) return null
  if (!sight.around) return <p class="more"><button type="button" onClick={() => board.more()}>Show more of {grouped(total)}</button></p>
  return board.widest || board.missing ? null : <p class="more"><button type="button" onClick={() => board.wider()}>Show more around</button></p>
}

/** Ranking is a ranked contest's board: the first ten or those around somebody, as they change, and the rest when it is asked for. */
export function Ranking({ contest: c, board, splits, corrections }: { contest: Contest; board: Leaderboard; splits: string[]; corrections: Corrections }) {
  const sight = board.sight
  useEffect(() => void board.probe(splits), [splits.join('\n'), c.revision])
  const total = board.loaded ? board.total : (c.total ?? 0)
  const tools = total > topRows || sight.around || sight.category
  return (
    <div class="card standing">
      <div class="standing-head">
        <h2>{isOver(c) ? 'Result' : 'Standing'}</h2>{' '}
        <span class="sub">{[!board.refused && grouped(total), board.split && `at ${board.split}`, sight.category && `in ${sight.category}`].filter(Boolean).join(' ')}</span>
      </div>
      {splits.length > 1 && <Splits board={board} sight={sight} splits={splits} />}
      {tools && <Tools contest={c} board={board} sight={sight} />}
      <div id="standing" {...(splits.length > 1 ? { role: 'tabpanel', 'aria-labelledby': 'split-' + Math.max(0, splits.indexOf(sight.split || board.split)) } : {})}>
        <Following board={board} sight={sight} />
        <Rows contest={c} board={board} sight={sight} corrections={corrections} />
        <More board={board} sight={sight} total={total} />
      </div>
    </div>
  )
}
