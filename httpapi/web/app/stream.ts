import type { Directory } from './directory'
import type { Frontends, Heartbeat, Link } from './model'
import type { Manner } from './store'

/** A message of the stream, as it goes to the store and to other tabs. */
export interface Message {
  name: 'snapshot' | 'score' | 'medals' | 'timeline' | 'leaderboard' | 'heartbeat'
  data: any
  at: Place
  manner: Manner
}

/** Place is where a stream can be gone on with: the id that came last, and of what it is. */
export interface Place {
  id: string
  /** The competitions that the stream was of, one a line; '': everything. */
  of: string
}

const names = ['snapshot', 'score', 'medals', 'timeline', 'leaderboard', 'heartbeat'] as const

/** A stream that carries a board has to name what else it carries, and may name 100 things. */
const mostNamed = 90
/** After a stream with a board failed before its first word, streams do without for this long: the board may be why. */
const plainMS = 10_000

/** A heartbeat comes every 5 s; a stream without a word for this long is dead. */
export const silentMS = 12_000
/** A frontend that has just lost its master takes its time, up to 3 s, before it answers. */
const connectMS = 5_000
/** A stream to move to has this long to say something; if nothing happens that is a heartbeat. */
const moveMS = 8_000
/** What comes between a resumed stream's first word and its first heartbeat is catching up; without a heartbeat, this long. */
const catchUpMS = 1_500
const firstBackoffMS = 500
const longestBackoffMS = 15_000
const refreshMS = 60_000

/**
 * Stream keeps one EventSource open, to some frontend, for as long as it is not stopped. EventSource's own way of reconnecting knows one
 * address and no jitter, so the first error closes it and Stream decides. A page that goes to another frontend opens a new
 * EventSource, which can set no header: it says where it was with last_event_id.
 */
export class Stream {
  /** Where a stream of everything goes on, and where the latest does. What one of a few competitions had says nothing of the others. */
  private whole: Place = { id: '', of: '' }
  private last: Place = { id: '', of: '' }
  /** The question for the board that is wanted. */
  board = ''
  private plainUntil = 0
  private current: EventSource | null = null
  private next: EventSource | null = null
  private nextTo = ''
  private timer = 0
  private refresher = 0
  private attempts = 0
  private lostAt = 0
  private running = false

  constructor(
    public link: Link,
    private directory: Directory,
    private competitions: () => string[],
    private deliver: (m: Message) => void,
    private linked: (link: Link) => void,
  ) {}

  start() {
    if (this.running) return
    this.running = true
    this.lostAt = Date.now()
    this.directory.recall()
    this.refresher = window.setInterval(() => this.link.phase === 'live' && this.refresh(), refreshMS)
    // A newcomer goes where the fewest are, so it first asks how many are where.
    if (this.directory.home) this.connect()
    else void this.refresh().then(() => this.running && !this.current && this.connect())
  }

  stop() {
    this.running = false
    clearTimeout(this.timer)
    clearInterval(this.refresher)
    this.current?.close()
    this.next?.close()
    this.current = this.next = null
    this.nextTo = ''
  }

  /** Wake is called when the tab is seen again, or the network is back: what was silent meanwhile is opened anew, at once. */
  wake() {
    if (!this.running) return
    if (this.link.phase === 'live' && Date.now() - this.link.heard < silentMS / 2) return
    this.current?.close()
    this.current = null
    this.attempts = 0
    this.connect()
  }

  /** Reached says what the page has, here or by another tab's stream. */
  reached(at: Place) {
    this.last = at
    if (!at.of) this.whole = at
  }

  places(): Place[] {
    return [this.whole, this.last]
  }

  /** Watch has the stream carry a board, the one that its question names and no other; '' is none. */
  watch(board: string) {
    this.board = board
    this.turn()
  }

  /** Turn opens a stream with the board that is wanted beside the one that goes on. */
  private turn() {
    if (this.next || this.link.phase !== 'live' || this.link.board === this.board || this.link.board === this.wanted()) return
    this.openBeside(this.link.frontend, () => {})
  }

  /** Wanted is the board that a stream opened now would carry. */
  private wanted(): string {
    if (!this.board || Date.now() < this.plainUntil) return ''
    const named = this.competitions().length
    return named > 0 && named <= mostNamed ? this.board : ''
  }

  private async refresh() {
    try {
      this.directory.take(await this.directory.ask<Frontends>('/v1/frontends', this.link.frontend))
    } catch {
      // The list that there is stays; the attempts go on with it.
    }
  }

  private say(change: Partial<Link>) {
    this.link = { ...this.link, home: this.directory.home, ...change }
    this.linked(this.link)
  }

  private connect() {
    clearTimeout(this.timer)
    const id = this.directory.order()[0] ?? ''
    this.say({ phase: 'connecting', frontend: id, url: this.directory.urlOf(id), retryAt: 0 })
    this.current = this.open(id, () => {})
    this.timer = window.setTimeout(() => this.lost(id), connectMS)
  }

  private address(id: string, board: string, of: string): string {
    const query = new URLSearchParams(board)
    if (board) for (const competition of of.split('\n')) query.append('competition', competition)
    if (this.directory.home) query.set('home', this.directory.home)
    const from = this.last.of === of ? this.last : this.whole
    if (from.id) query.set('last_event_id', from.id)
    return `${this.directory.urlOf(id)}/v1/watch${query.size ? '?' : ''}${query}`
  }

  /** Open opens a stream. It replaces the current one with its first word; before that, an error only calls failed. */
  private open(id: string, failed: () => void): EventSource {
    const board = this.wanted()
    const of = board ? this.competitions().sort().join('\n') : ''
    const source = new EventSource(this.address(id, board, of))
    let heard = false
    let openedAt = 0
    let caughtUp = false
    let boardTold = false
    source.onopen = () => {
      openedAt = Date.now()
      // A stream that goes on where another was may have nothing to say but heartbeats.
      if (source === this.current) this.hear(source, id, board)
    }
    source.onerror = () => {
      if (board && !heard) this.plainUntil = Date.now() + plainMS
      if (source === this.current) this.lost(id)
      else failed()
    }
    for (const name of names) {
      source.addEventListener(name, (e: MessageEvent) => {
        if (source !== this.current && source !== this.next) return
        heard = true
        if (e.lastEventId) this.reached({ id: e.lastEventId, of })
        // What a stream tells first of its board is the whole, and how it was; from then on it tells what happens.
        const manner: Manner = (name === 'leaderboard' ? boardTold : caughtUp || Date.now() - openedAt > catchUpMS) ? 'live' : 'resync'
        if (name === 'heartbeat' || name === 'snapshot') caughtUp = true
        if (name === 'leaderboard' || name === 'snapshot') boardTold = true
        const data = JSON.parse(e.data)
        // A frontend with too many watchers sends a new one on to another; only that one's heartbeat tells.
        if (name === 'heartbeat') this.directory.worked((id = (data as Heartbeat).frontend || id))
        this.hear(source, id, board, { name, data, at: this.last, manner })
      })
    }
    source.addEventListener('home', (e: MessageEvent) => {
      if (source === this.current) this.goHome(JSON.parse(e.data))
    })
    return source
  }

  private hear(source: EventSource, id: string, board: string, m?: Message) {
    if (source === this.next) this.arrive(source)
    this.attempts = 0
    const change: Partial<Link> = { phase: 'live', frontend: id, url: this.directory.urlOf(id), heard: Date.now(), exhausted: false, retryAt: 0, board }
    if (m?.name === 'heartbeat') {
      const h = m.data as Heartbeat
      Object.assign(change, { epoch: h.epoch, mode: h.mode, behind: h.age_ms ?? 0 })
    }
    clearTimeout(this.timer)
    this.timer = window.setTimeout(() => this.lost(id), silentMS)
    if (m) this.deliver(m)
    this.say(change)
    this.turn()
  }

  private lost(id: string) {
    if (!this.running) return
    clearTimeout(this.timer)
    this.current?.close()
    this.next?.close()
    this.current = this.next = null
    this.nextTo = ''
    if (this.link.phase === 'live') this.lostAt = Date.now()
    this.directory.fail(id)
    const wait = Math.random() * Math.min(longestBackoffMS, firstBackoffMS * 2 ** this.attempts++)
    this.say({ phase: 'waiting', board: '', retryAt: Date.now() + wait, exhausted: this.directory.exhausted(this.lostAt) })
    this.timer = window.setTimeout(() => this.connect(), wait)
    if (this.attempts > 1) void this.refresh()
  }

  /** GoHome opens a stream to the home beside the current one, which goes on until the new one has said something. It is told once, so a failure is tried again. */
  private goHome(home: { id: string; url: string }) {
    this.directory.learn(home.id, home.url)
    if (home.id === this.nextTo || home.id === this.link.frontend || this.link.phase !== 'live') return
    this.next?.close()
    this.openBeside(home.id, () => setTimeout(() => this.goHome(home), longestBackoffMS * (1 + Math.random())))
  }

  /** OpenBeside opens a stream that takes the current one's place, if it says something in time. */
  private openBeside(id: string, failed: () => void) {
    const abandon = () => {
      if (this.next !== source) return
      source.close()
      this.next = null
      this.nextTo = ''
      failed()
    }
    const source = this.open(id, abandon)
    this.next = source
    this.nextTo = id
    setTimeout(abandon, moveMS)
  }

  private arrive(source: EventSource) {
    this.current?.close()
    this.current = source
    this.next = null
    this.nextTo = ''
  }
}
