import { Missing, Refused, type Directory } from './directory'
import type { BoardEvent, BoardPage, BoardRow } from './model'
import { query, type Sight } from './route'
import type { Manner } from './store'

/** The window that the stream carries: the first ten, or those around somebody, in these sizes. */
export const topRows = 10
const reaches = [11, 41, 99]
const partRows = 50
/** How often what no stream tells is asked for, while it changes. */
const askMS = 1_500
const probeMS = 10_000
/** A window of which more than this many rows are new at once is another window, and nothing in it is news. */
const mostNews = 5
/** So long a row may be called new: one that is drawn again later is not. */
export const newsMS = 1_000
const mostCategories = 40

/** Part is a piece of a board that is scrolled through. Its rows are let go when it is out of sight; known is how many it had. */
interface Part {
  rows: BoardRow[]
  known: number
  next: string
  stale: boolean
}

/** Item is what a part shows: its rows, or only how many there are. */
export interface Item {
  first: number
  rows: BoardRow[]
  known: number
}

/** Leaderboard keeps the part of a ranked contest's board that is looked at. */
export class Leaderboard {
  sight: Sight = { split: '', category: '', around: '' }
  order: string[] = []
  rows = new Map<string, BoardRow>()
  split = ''
  total = 0
  /** Loaded: something was told of what is looked at now. Missing: who is followed has no mark there. */
  loaded = false
  missing = false
  /** Failed: it could not be read; refused: there is no such split. */
  failed = false
  refused = false
  reach = 0
  parts: Part[] = []
  /** Whether a split has any mark; of one that is not here nothing is known. */
  any = new Map<string, boolean>()
  categories = new Set<string>()
  news = { at: 0, rows: new Set<string>() }

  /** The board that the stream carries, as its question. */
  carried = ''
  /** Scrolling: more is shown than the window, in parts. */
  scrolling = false
  private told = 0
  private asked = 0
  private filling = false
  private seen: [first: number, last: number] = [0, 0]
  private timer = 0
  private probed = 0
  private over = false

  constructor(
    readonly contestID: string,
    private directory: Directory,
    private frontend: () => string,
    private watch: (board: string) => void,
    private changed: (manner: Manner, followed?: BoardRow) => void,
  ) {}

  /** Question is the window as the stream is asked for it. */
  get question(): string {
    const q = query(this.sight)
    q.set('limit', String(this.sight.around ? reaches[this.reach] : topRows))
    return `leaderboard=${encodeURIComponent(this.contestID)}&${q}`
  }

  show(sight: Sight) {
    this.sight = sight
    this.reach = 0
    this.parts = []
    this.scrolling = false
    this.loaded = this.missing = this.failed = this.refused = false
    this.turn()
  }

  get widest() {
    return this.reach === reaches.length - 1
  }

  /** Wider shows more of those around who is followed, and goes on following. */
  wider() {
    this.reach++
    this.turn()
  }

  close() {
    this.over = true
    clearTimeout(this.timer)
    this.watch('')
  }

  private turn() {
    this.watch(this.question)
    void this.load()
  }

  /** Event takes what the stream tells of a board, if it is this one. */
  event(e: BoardEvent, manner: Manner) {
    const s = this.sight
    if (this.over || e.contest_id !== this.contestID || (e.category ?? '') !== s.category || (e.around ?? '') !== s.around || (s.split && e.split !== s.split)) return
    this.told++
    const known = new Map([...(this.loaded ? this.rows : []), ...e.rows.map((r): [string, BoardRow] => [r.competitor, r])])
    if (e.order.some((c) => !known.has(c))) return void this.load()
    this.take(e.split, e.total, e.order.map((c) => known.get(c)!), manner)
    this.stir()
  }

  private take(split: string, total: number, list: BoardRow[], manner: Manner) {
    const fresh = list.filter((r) => {
      const was = this.rows.get(r.competitor)
      return !was || was.mark !== r.mark || was.irm !== r.irm
    })
    const live = manner === 'live' && this.loaded && split === this.split && fresh.length <= mostNews
    this.news = { at: Date.now(), rows: new Set(live ? fresh.map((r) => r.competitor) : []) }
    const before = this.loaded ? this.rows.get(this.sight.around) : undefined
    this.rows = new Map(list.map((r) => [r.competitor, r]))
    this.order = list.map((r) => r.competitor)
    Object.assign(this, { split, total, loaded: true, failed: false, missing: this.sight.around !== '' && !this.rows.has(this.sight.around) })
    this.any.set(split, total > 0 || this.any.get(split) === true)
    this.sort(list)
    const now = this.rows.get(this.sight.around)
    this.changed(live ? 'live' : 'resync', live && now && before && (now.rank !== before.rank || now.irm !== before.irm) ? now : undefined)
  }

  private sort(list: { category?: string }[]) {
    for (const r of list) if (r.category && this.categories.size < mostCategories) this.categories.add(r.category)
  }

  /** Learn takes what the timeline tells of marks. */
  learn(marks: { split: string; category?: string }[]) {
    for (const m of marks) this.any.set(m.split, true)
    this.sort(marks)
  }

  /** Stir, where there may be something new, asks after a while for what no stream tells: the window where the stream carries another, and what is scrolled to. */
  stir() {
    if (this.timer || this.over || this.refused || (this.carried === this.question && !this.scrolling)) return
    this.timer = window.setTimeout(() => {
      this.timer = 0
      if (document.hidden) return
      if (this.carried !== this.question || this.failed) void this.load()
      for (const p of this.parts) p.stale = true
      void this.fill()
    }, askMS * (0.8 + Math.random() / 2))
  }

  private ask(q: URLSearchParams): Promise<BoardPage> {
    const id = this.contestID.split('/').map(encodeURIComponent).join('/')
    return this.directory.ask<BoardPage>(`/v1/leaderboard/${id}?${q}`, this.frontend())
  }

  /** Load asks for the window. What the stream told meanwhile is newer. */
  private async load() {
    const asked = ++this.asked
    const told = this.told
    const q = new URLSearchParams(this.question)
    q.delete('leaderboard')
    let page: BoardPage | undefined
    let missing = false
    try {
      page = await this.ask(q)
    } catch (e) {
      missing = e instanceof Missing && this.sight.around !== ''
      if (e instanceof Refused && asked === this.asked) {
        this.refused = true
        this.watch('')
      }
    }
    if (this.over || asked !== this.asked || (told !== this.told && this.loaded)) return
    if (page) return this.take(page.split, page.total, page.rows, this.loaded ? 'live' : 'resync')
    if (missing) {
      Object.assign(this, { missing, loaded: true, order: [], rows: new Map(), split: this.sight.split || this.split })
    } else if (!this.loaded) Object.assign(this, { failed: true, order: [], total: 0, split: this.sight.split })
    this.changed('resync')
  }

  /** More begins to scroll through the board. */
  more() {
    this.scrolling = true
    this.seen = [0, 0]
    void this.fill()
  }

  fewer() {
    this.parts = []
    this.scrolling = false
    this.changed('resync')
  }

  /** See says which rows are in sight, counted from 0. Those of parts that are far from there are let go. */
  see(first: number, last: number) {
    const part = (row: number) => this.items(false).findLastIndex((i) => i.first <= row)
    const before = this.near().join()
    this.seen = [Math.max(0, part(first)), Math.max(0, part(last))]
    const [from, to] = this.near()
    if (before === this.near().join()) return
    this.parts.forEach((p, i) => {
      if (i < from || i > to) p.rows = []
    })
    this.changed('resync')
    void this.fill()
  }

  private near(): [from: number, to: number] {
    return [this.seen[0] - 1, this.seen[1] + 1]
  }

  /** Items are the parts as they are shown; the live window is the beginning of the first. */
  items(merged = true): Item[] {
    let first = 0
    return this.parts.map((p, i) => {
      const rows = i === 0 && merged && p.rows.length ? this.merge(p) : p.rows
      const item = { first, rows, known: p.known }
      first += p.known
      return item
    })
  }

  private merge(p: Part): BoardRow[] {
    return [...this.order.map((c) => this.rows.get(c)!), ...p.rows.filter((r) => !this.rows.has(r.competitor))].slice(0, p.known)
  }

  /** Fill asks for the parts that are near and not there or not new, from the first on: each begins where the one before it ends. */
  private async fill() {
    if (this.filling || !this.scrolling) return
    this.filling = true
    const parts = this.parts
    try {
      for (let i = this.lacking(); i >= 0 && !this.over; i = this.lacking()) {
        const q = query({ ...this.sight, around: '' })
        q.set('limit', String(partRows))
        if (i) q.set('after', parts[i - 1]!.next)
        const page = await this.ask(q)
        if (this.over || parts !== this.parts) break
        if (page.rows.length) parts[i] = { rows: page.rows, known: page.rows.length, next: page.next, stale: false }
        else if (i) parts[i - 1]!.next = ''
        if (!page.next) parts.length = Math.min(parts.length, page.rows.length ? i + 1 : i)
        this.total = page.total
        this.sort(page.rows)
        this.changed('resync')
        if (!page.rows.length) break
      }
    } catch {
      // The next change asks again.
    }
    this.filling = false
    if (parts !== this.parts) void this.fill()
  }

  private lacking(): number {
    const [from, to] = this.near()
    for (let i = Math.max(0, from); i <= to; i++) {
      const p = this.parts[i]
      if (!p) return i === 0 || this.parts[i - 1]?.next ? i : -1
      if (!p.rows.length || p.stale) return i
    }
    return -1
  }

  /** Probe finds out which of the splits that nothing is known of have a mark. */
  async probe(splits: string[]) {
    if (this.over || !splits.length || Date.now() - this.probed < probeMS) return
    this.probed = Date.now()
    for (const split of splits) {
      if (this.any.get(split)) continue
      try {
        const page = await this.ask(new URLSearchParams({ split, limit: '1' }))
        if (this.over) return
        if (this.any.get(split) !== page.total > 0) this.changed('resync')
        this.any.set(split, page.total > 0)
      } catch {
        return
      }
    }
  }
}
