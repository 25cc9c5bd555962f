import { servedAt, type Directory } from './directory'
import type { Frontends, Heartbeat, Snapshot, StreamStatus } from './model'
import type { ChangeKind } from './store'

/** A message of the stream, as it is passed to the store and to other tabs. */
export interface Message {
  name: 'snapshot' | 'score' | 'removed' | 'medals' | 'timeline' | 'leaderboard' | 'heartbeat'
  data: any
  /** The last event id, at which a stream can be resumed. */
  position: string
  kind: ChangeKind
}

const names = ['snapshot', 'score', 'removed', 'medals', 'timeline', 'leaderboard', 'heartbeat'] as const

/**
 * After a stream with a window failed before its first message, streams omit the window
 * for this long: it may be the reason.
 */
const noBoardMS = 10_000

/** Heartbeats come every 5 s. A stream that is silent for this long is dead. */
export const silenceMS = 12_000
/** A frontend that has just lost its master may take 3 s to answer. */
const connectMS = 5_000
/** Once a stream is open, its first event, with everything that is watched, may take long on a slow link. */
const beginMS = 30_000
/** A second stream must send something, at least a heartbeat, within this time. */
const moveMS = 8_000
const firstBackoffMS = 500
const maxBackoffMS = 8_000
const refreshMS = 60_000

/**
 * Stream keeps one EventSource open to some frontend until it is stopped. EventSource
 * reconnects to one address only and without jitter, so Stream closes it at the first
 * error and chooses the next frontend. A new EventSource cannot set headers, so it
 * resumes with the parameter last_event_id.
 */
export class Stream {
  /** The last event id that the page has received, by this stream or another tab's. */
  position = ''
  /** The query of the window that is wanted. */
  board = ''
  private noBoardUntil = 0
  private current: EventSource | null = null
  private next: EventSource | null = null
  private nextTo = ''
  private timer = 0
  private refreshTimer = 0
  private attempts = 0
  private lostAt = 0
  /** The incarnations that the store had before, as a frontend said last. */
  private former: string[] = []
  private running = false

  constructor(
    public status: StreamStatus,
    private directory: Directory,
    private deliver: (m: Message) => void,
    private onStatus: (status: StreamStatus) => void,
  ) {}

  start() {
    if (this.running) return
    this.running = true
    this.lostAt = Date.now()
    this.directory.loadHome()
    this.refreshTimer = window.setInterval(() => this.status.phase === 'live' && this.refresh(), refreshMS)
    // A new client goes to the frontend with the fewest watchers, so it first asks for their numbers.
    if (this.directory.home) this.connect()
    else void this.refresh().then(() => this.running && !this.current && this.connect())
  }

  stop() {
    this.running = false
    clearTimeout(this.timer)
    clearInterval(this.refreshTimer)
    this.current?.close()
    this.next?.close()
    this.current = this.next = null
    this.nextTo = ''
  }

  /**
   * wake reopens a silent stream at once. It is called when the tab becomes visible or
   * the network returns.
   */
  wake() {
    if (!this.running) return
    if (this.status.phase === 'live' && Date.now() - this.status.heard < silenceMS / 2) return
    this.current?.close()
    this.current = null
    this.attempts = 0
    this.connect()
  }

  /** leave moves the stream to another frontend, if it comes from this one. */
  leave(frontend: string) {
    if (this.running && this.status.frontend === frontend) this.onLost(frontend)
  }

  /** watch has the stream carry the window of a query, or none for ''. */
  watch(board: string) {
    this.board = board
    this.switchBoard()
  }

  /** switchBoard opens a second stream with the wanted window if the current one lacks it. */
  private switchBoard() {
    if (
      this.next ||
      this.status.phase !== 'live' ||
      this.status.board === this.board ||
      this.status.board === this.boardToOpen()
    )
      return
    this.openSecond(this.status.frontend, () => {})
  }

  /** boardToOpen returns the query of the window that a new stream would carry. */
  private boardToOpen(): string {
    return Date.now() < this.noBoardUntil ? '' : this.board
  }

  private async refresh() {
    try {
      this.directory.update(await this.directory.fetchJSON<Frontends>('/v1/frontends', this.status.frontend))
    } catch {
      // keep the old list
    }
  }

  private setStatus(change: Partial<StreamStatus>) {
    const { home } = this.directory
    const known = { home, untrusted: this.directory.untrusted(), needSignIn: this.directory.needSignIn() }
    this.status = { ...this.status, ...known, ...change }
    this.onStatus(this.status)
  }

  private connect() {
    clearTimeout(this.timer)
    const id = this.directory.candidates()[0] ?? ''
    this.setStatus({ phase: 'connecting', frontend: id, url: this.directory.urlOf(id), retryAt: 0 })
    this.current = this.open(id, () => {})
    this.timer = window.setTimeout(() => this.onLost(id), connectMS)
  }

  private address(id: string, board: string): string {
    const query = new URLSearchParams(board)
    query.set('scope', 'now')
    if (this.directory.home && !this.directory.written) query.set('home', this.directory.home)
    // A frontend that failed may have redirected the page to one that this browser cannot use.
    if (this.directory.hasFailed(id)) query.set('moved', '1')
    if (this.position) query.set('last_event_id', this.position)
    return `${this.directory.urlOf(id) || servedAt}/v1/watch?${query}`
  }

  /**
   * open opens a stream, which replaces the current one with its first message. Before
   * that, an error only calls failed. A stream that is open without a message says nothing:
   * a frontend that cannot serve it ends it so, because an EventSource would not try again
   * after an answer that is an error.
   */
  private open(id: string, failed: () => void): EventSource {
    const board = this.boardToOpen()
    const source = new EventSource(this.address(id, board))
    let heard = false
    // A stream begins with a snapshot or, where it resumes, with what has changed meanwhile. The
    // heartbeat that follows ends that, however long it took.
    let caughtUp = false
    let boardReceived = false
    source.onopen = () => {
      if (source !== this.current || heard) return
      clearTimeout(this.timer)
      this.timer = window.setTimeout(() => this.onLost(id), beginMS)
    }
    source.onerror = () => {
      if (board && !heard) this.noBoardUntil = Date.now() + noBoardMS
      if (source === this.current) this.onLost(id)
      else failed()
    }
    for (const name of names) {
      source.addEventListener(name, (e: MessageEvent) => {
        if (source !== this.current && source !== this.next) return
        const data = JSON.parse(e.data)
        if (name === 'snapshot') {
          if (this.former.includes(data.incarnation)) {
            // The frontend's group was recovered without it, and what it has is void.
            source.onerror?.(e)
            return
          }
          this.former = (data as Snapshot).former ?? []
        }
        heard = true
        if (e.lastEventId) this.position = e.lastEventId
        // The first message about a window is its state; later ones are changes.
        const kind: ChangeKind = (name === 'leaderboard' ? boardReceived : caughtUp) ? 'live' : 'resync'
        if (name === 'heartbeat' || name === 'snapshot') caughtUp = true
        if (name === 'leaderboard' || name === 'snapshot') boardReceived = true
        // A frontend with too many watchers redirects new ones; the heartbeat names the frontend that serves.
        if (name === 'heartbeat') {
          id = this.directory.named(id, (data as Heartbeat).frontend)
          this.directory.markReachable(id)
        }
        this.onMessage(source, id, board, { name, data, position: this.position, kind })
      })
    }
    source.addEventListener('home', (e: MessageEvent) => {
      if (source === this.current) this.goHome(JSON.parse(e.data))
    })
    return source
  }

  private onMessage(source: EventSource, id: string, board: string, m: Message) {
    if (source === this.next) this.promote(source)
    this.attempts = 0
    const change: Partial<StreamStatus> = {
      phase: 'live',
      frontend: id,
      url: this.directory.urlOf(id),
      heard: Date.now(),
      exhausted: false,
      retryAt: 0,
      board,
    }
    if (m.name === 'heartbeat') {
      const h = m.data as Heartbeat
      Object.assign(change, { epoch: h.epoch, mode: h.mode, behind: h.age_ms ?? 0 })
    }
    clearTimeout(this.timer)
    this.timer = window.setTimeout(() => this.onLost(id), silenceMS)
    this.deliver(m)
    this.setStatus(change)
    this.switchBoard()
  }

  private onLost(id: string) {
    if (!this.running) return
    clearTimeout(this.timer)
    this.current?.close()
    this.next?.close()
    this.current = this.next = null
    this.nextTo = ''
    if (this.status.phase === 'live') this.lostAt = Date.now()
    this.directory.markFailed(id)
    const wait = Math.random() * Math.min(maxBackoffMS, firstBackoffMS * 2 ** this.attempts++)
    this.setStatus({
      phase: 'waiting',
      board: '',
      retryAt: Date.now() + wait,
      exhausted: this.directory.exhausted(this.lostAt),
    })
    this.timer = window.setTimeout(() => this.connect(), wait)
    if (this.attempts > 1) void this.refresh()
  }

  /**
   * goHome opens a second stream to the home and keeps the current one until the second
   * has sent something. The home event comes once, so goHome retries.
   */
  private goHome(home: { id: string; url: string }) {
    this.directory.add(home.id, home.url)
    if (home.id === this.nextTo || home.id === this.status.frontend || this.status.phase !== 'live') return
    if (!this.directory.urlOf(home.id)) return
    this.next?.close()
    this.openSecond(home.id, () => setTimeout(() => this.goHome(home), maxBackoffMS * (1 + Math.random())))
  }

  /** openSecond opens a stream that replaces the current one if it sends something in time. */
  private openSecond(id: string, failed: () => void) {
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

  private promote(source: EventSource) {
    this.current?.close()
    this.current = source
    this.next = null
    this.nextTo = ''
  }
}
