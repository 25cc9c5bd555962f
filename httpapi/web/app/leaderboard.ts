import { NotFound, BadRequest, type Directory } from './directory'
import type { BoardEvent, BoardPage, BoardRow } from './model'
import { encoded, query, type Selection } from './route'
import type { ChangeKind } from './store'

/**
 * The rows of the window that the stream carries: the first ten, or these many around a
 * competitor.
 */
export const topRows = 10
const windowSizes = [11, 41, 99]
const partSize = 50
/** How often a changing board is polled that the stream does not carry. */
const pollMS = 1_500
const probeMS = 10_000
/** If more rows than this are new at once, the window has moved, and none is highlighted. */
const maxHighlights = 5
/** How long a new row is highlighted. */
export const highlightMS = 1_000
const maxCategories = 256

/**
 * Part is a page of a board that is scrolled through. Its rows are dropped when it is out
 * of view; known is how many it had.
 */
interface Part {
  rows: BoardRow[]
  known: number
  next: string
  stale: boolean
}

/** Item is a part as it is shown: its rows, or only their number. */
export interface Item {
  first: number
  rows: BoardRow[]
  known: number
}

/** Leaderboard holds the part of a ranked contest's leaderboard that is shown. */
export class Leaderboard {
  selection: Selection = { split: '', category: '', around: '' }
  order: string[] = []
  rows = new Map<string, BoardRow>()
  split = ''
  total = 0
  /**
   * loaded: the selection has been received. missing: the followed competitor has no mark
   * in it.
   */
  loaded = false
  missing = false
  /** failed: the window could not be fetched. */
  failed = false
  unknownSplit = false
  sizeIndex = 0
  parts: Part[] = []
  /** Whether a split has any mark; a split without an entry is unknown. */
  hasMarks = new Map<string, boolean>()
  categories = new Set<string>()
  highlights = { at: 0, rows: new Set<string>() }

  /** The query of the window that the stream carries. */
  streamed = ''
  /** scrolling: the board is shown in parts, beyond the window. */
  scrolling = false
  private received = 0
  private requests = 0
  private loadingParts = false
  private visible: [first: number, last: number] = [0, 0]
  private timer = 0
  private probedAt = 0
  private closed = false

  constructor(
    readonly contestID: string,
    private directory: Directory,
    private frontend: () => string,
    private watch: (board: string) => void,
    private changed: (kind: ChangeKind, followed?: BoardRow) => void,
  ) {}

  /** windowQuery returns the query with which a stream carries the window. */
  get windowQuery(): string {
    const q = query(this.selection)
    q.set('limit', String(this.selection.around ? windowSizes[this.sizeIndex] : topRows))
    return `leaderboard=${encodeURIComponent(this.contestID)}&${q}`
  }

  show(selection: Selection) {
    this.selection = selection
    this.sizeIndex = 0
    this.parts = []
    this.scrolling = false
    this.loaded = this.missing = this.failed = this.unknownSplit = false
    this.reload()
  }

  get widest() {
    return this.sizeIndex === windowSizes.length - 1
  }

  /** widen shows more rows around the followed competitor. */
  widen() {
    this.sizeIndex++
    this.reload()
  }

  close() {
    this.closed = true
    clearTimeout(this.timer)
    this.watch('')
  }

  private reload() {
    this.watch(this.windowQuery)
    void this.load()
  }

  /** onEvent applies a window that the stream sent, if it is of this selection. */
  onEvent(e: BoardEvent, kind: ChangeKind) {
    const s = this.selection
    if (
      this.closed ||
      e.contest_id !== this.contestID ||
      (e.category ?? '') !== s.category ||
      (e.around ?? '') !== s.around ||
      (s.split && e.split !== s.split)
    )
      return
    this.received++
    const known = new Map([
      ...(this.loaded ? this.rows : []),
      ...e.rows.map((r): [string, BoardRow] => [r.competitor, r]),
    ])
    if (e.order.some((c) => !known.has(c))) return void this.load()
    this.apply(
      e.split,
      e.total,
      e.order.map((c) => known.get(c)!),
      kind,
    )
    this.scheduleRefresh()
  }

  private apply(split: string, total: number, list: BoardRow[], kind: ChangeKind) {
    const fresh = list.filter((r) => {
      const was = this.rows.get(r.competitor)
      return !was || was.mark !== r.mark || was.mark2 !== r.mark2 || was.irm !== r.irm || was.out !== r.out
    })
    const live = kind === 'live' && this.loaded && split === this.split && fresh.length <= maxHighlights
    this.highlights = { at: Date.now(), rows: new Set(live ? fresh.map((r) => r.competitor) : []) }
    const before = this.loaded ? this.rows.get(this.selection.around) : undefined
    this.rows = new Map(list.map((r) => [r.competitor, r]))
    this.order = list.map((r) => r.competitor)
    Object.assign(this, {
      split,
      total,
      loaded: true,
      failed: false,
      missing: this.selection.around !== '' && !this.rows.has(this.selection.around),
    })
    this.hasMarks.set(split, total > 0 || this.hasMarks.get(split) === true)
    this.addCategories(list.flatMap((r) => r.categories ?? []))
    const now = this.rows.get(this.selection.around)
    this.changed(
      live ? 'live' : 'resync',
      live && now && before && (now.rank !== before.rank || now.irm !== before.irm) ? now : undefined,
    )
  }

  private addCategories(names: string[]) {
    for (const name of names) if (this.categories.size < maxCategories) this.categories.add(name)
  }

  /** learnMarks learns from timeline events which splits and categories have marks. */
  learnMarks(marks: { split: string; category?: string }[]) {
    for (const m of marks) this.hasMarks.set(m.split, true)
    this.addCategories(marks.flatMap((m) => m.category ?? []))
  }

  /**
   * scheduleRefresh polls, after a while, what the stream does not carry: the window, if
   * the stream carries another, and the parts that are scrolled through.
   */
  scheduleRefresh() {
    if (
      this.timer ||
      this.closed ||
      this.unknownSplit ||
      (this.streamed === this.windowQuery && !this.scrolling)
    )
      return
    this.timer = window.setTimeout(
      () => {
        this.timer = 0
        if (document.hidden) return
        if (this.streamed !== this.windowQuery || this.failed) void this.load()
        for (const p of this.parts) p.stale = true
        void this.loadParts()
      },
      pollMS * (0.8 + Math.random() / 2),
    )
  }

  private fetchPage(q: URLSearchParams): Promise<BoardPage> {
    return this.directory.fetchJSON<BoardPage>(`/v1/leaderboard/${encoded(this.contestID)}?${q}`, this.frontend())
  }

  /** load fetches the window. It drops the answer if the stream has sent a newer one meanwhile. */
  private async load() {
    const request = ++this.requests
    const received = this.received
    const q = new URLSearchParams(this.windowQuery)
    q.delete('leaderboard')
    let page: BoardPage | undefined
    let missing = false
    try {
      page = await this.fetchPage(q)
      this.addCategories(page.categories ?? [])
    } catch (e) {
      missing = e instanceof NotFound && this.selection.around !== ''
      if (e instanceof BadRequest && request === this.requests) {
        this.unknownSplit = true
        this.watch('')
      }
    }
    if (this.closed || request !== this.requests || (received !== this.received && this.loaded)) return
    if (page) return this.apply(page.split, page.total, page.rows, this.loaded ? 'live' : 'resync')
    if (missing) {
      Object.assign(this, {
        missing,
        loaded: true,
        order: [],
        rows: new Map(),
        split: this.selection.split || this.split,
      })
    } else if (!this.loaded)
      Object.assign(this, { failed: true, order: [], total: 0, split: this.selection.split })
    this.changed('resync')
  }

  /** showMore begins to scroll through the board. */
  showMore() {
    this.scrolling = true
    this.visible = [0, 0]
    void this.loadParts()
  }

  showFewer() {
    this.parts = []
    this.scrolling = false
    this.changed('resync')
  }

  /**
   * setVisible sets the rows in view, counted from 0, and drops the rows of parts that
   * are far from them.
   */
  setVisible(first: number, last: number) {
    const part = (row: number) => this.items(false).findLastIndex((i) => i.first <= row)
    const before = this.near().join()
    this.visible = [Math.max(0, part(first)), Math.max(0, part(last))]
    const [from, to] = this.near()
    if (before === this.near().join()) return
    this.parts.forEach((p, i) => {
      if (i < from || i > to) p.rows = []
    })
    this.changed('resync')
    void this.loadParts()
  }

  private near(): [from: number, to: number] {
    return [this.visible[0] - 1, this.visible[1] + 1]
  }

  /** items returns the parts as they are shown; the first begins with the live window. */
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
    return [
      ...this.order.map((c) => this.rows.get(c)!),
      ...p.rows.filter((r) => !this.rows.has(r.competitor)),
    ].slice(0, p.known)
  }

  /**
   * loadParts fetches the parts near the view that are missing or stale, in order: each
   * begins where the one before it ends.
   */
  private async loadParts() {
    if (this.loadingParts || !this.scrolling) return
    this.loadingParts = true
    const parts = this.parts
    try {
      for (let i = this.nextToLoad(); i >= 0 && !this.closed; i = this.nextToLoad()) {
        const q = query({ ...this.selection, around: '' })
        q.set('limit', String(partSize))
        if (i) q.set('after', parts[i - 1]!.next)
        const page = await this.fetchPage(q)
        if (this.closed || parts !== this.parts) break
        if (page.rows.length)
          parts[i] = { rows: page.rows, known: page.rows.length, next: page.next, stale: false }
        else if (i) parts[i - 1]!.next = ''
        if (!page.next) parts.length = Math.min(parts.length, page.rows.length ? i + 1 : i)
        this.total = page.total
        this.addCategories(page.categories ?? [])
        this.changed('resync')
        if (!page.rows.length) break
      }
    } catch {
      // the next change tries again
    }
    this.loadingParts = false
    if (parts !== this.parts) void this.loadParts()
  }

  private nextToLoad(): number {
    const [from, to] = this.near()
    for (let i = Math.max(0, from); i <= to; i++) {
      const p = this.parts[i]
      if (!p) return i === 0 || this.parts[i - 1]?.next ? i : -1
      if (!p.rows.length || p.stale) return i
    }
    return -1
  }

  /** probe finds out which of the splits without a known mark have one. */
  async probe(splits: string[]) {
    if (this.closed || !splits.length || Date.now() - this.probedAt < probeMS) return
    this.probedAt = Date.now()
    for (const split of splits) {
      if (this.hasMarks.get(split)) continue
      try {
        const page = await this.fetchPage(new URLSearchParams({ split, limit: '1' }))
        if (this.closed) return
        if (this.hasMarks.get(split) !== page.total > 0) this.changed('resync')
        this.hasMarks.set(split, page.total > 0)
      } catch {
        return
      }
    }
  }
}
