import type { Directory } from './directory'
import type { Frontends, Heartbeat, Link } from './model'
import type { Manner } from './store'

/** A message of the stream, as it goes to the store and to other tabs. */
export interface Message {
  name: 'snapshot' | 'score' | 'medals' | 'timeline' | 'heartbeat'
  data: any
  id: string
  manner: Manner
}

const names = ['snapshot', 'score', 'medals', 'timeline', 'heartbeat'] as const

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
  lastID = ''
  private current: EventSource | null = null
  private next: EventSource | null = null
  private timer = 0
  private refresher = 0
  private attempts = 0
  private lostAt = 0
  private running = false

  constructor(
    public link: Link,
    private directory: Directory,
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
    this.current = this.open(id, () => this.lost(id))
    this.timer = window.setTimeout(() => this.lost(id), connectMS)
  }

  /** Open opens a stream. It replaces the current one with its first word; before that, an error only calls failed. */
  private open(id: string, failed: () => void): EventSource {
    const query = new URLSearchParams()
    if (this.directory.home) query.set('home', this.directory.home)
    if (this.lastID) query.set('last_event_id', this.lastID)
    const source = new EventSource(`${this.directory.urlOf(id)}/v1/watch${query.size ? '?' : ''}${query}`)
    let openedAt = 0
    let caughtUp = false
    source.onopen = () => {
      openedAt = Date.now()
      // A stream that goes on where another was may have nothing to say but heartbeats.
      if (source === this.current) this.hear(source, id)
    }
    source.onerror = () => (source === this.current ? this.lost(id) : failed())
    for (const name of names) {
      source.addEventListener(name, (e: MessageEvent) => {
        if (source !== this.current && source !== this.next) return
        if (e.lastEventId) this.lastID = e.lastEventId
        const manner: Manner = caughtUp || Date.now() - openedAt > catchUpMS ? 'live' : 'resync'
        if (name === 'heartbeat' || name === 'snapshot') caughtUp = true
        const data = JSON.parse(e.data)
        // A frontend with too many watchers sends a new one on to another; only that one's heartbeat tells.
        if (name === 'heartbeat') this.directory.worked((id = (data as Heartbeat).frontend || id))
        this.hear(source, id, { name, data, id: this.lastID, manner })
      })
    }
    source.addEventListener('home', (e: MessageEvent) => {
      if (source === this.current) this.goHome(JSON.parse(e.data))
    })
    return source
  }

  private hear(source: EventSource, id: string, m?: Message) {
    if (source === this.next) this.arrive(source)
    this.attempts = 0
    const change: Partial<Link> = { phase: 'live', frontend: id, url: this.directory.urlOf(id), heard: Date.now(), exhausted: false, retryAt: 0 }
    if (m?.name === 'heartbeat') {
      const h = m.data as Heartbeat
      Object.assign(change, { epoch: h.epoch, mode: h.mode, behind: h.age_ms ?? 0 })
    }
    clearTimeout(this.timer)
    this.timer = window.setTimeout(() => this.lost(id), silentMS)
    if (m) this.deliver(m)
    this.say(change)
  }

  private lost(id: string) {
    if (!this.running) return
    clearTimeout(this.timer)
    this.current?.close()
    this.next?.close()
    this.current = this.next = null
    if (this.link.phase === 'live') this.lostAt = Date.now()
    this.directory.fail(id)
    const wait = Math.random() * Math.min(longestBackoffMS, firstBackoffMS * 2 ** this.attempts++)
    this.say({ phase: 'waiting', retryAt: Date.now() + wait, exhausted: this.directory.exhausted(this.lostAt) })
    this.timer = window.setTimeout(() => this.connect(), wait)
    if (this.attempts > 1) void this.refresh()
  }

  /** GoHome opens a stream to the home beside the current one, which goes on until the new one has said something. It is told once, so a failure is tried again. */
  private goHome(home: { id: string; url: string }) {
    this.directory.learn(home.id, home.url)
    if (this.next || home.id === this.link.frontend || this.link.phase !== 'live') return
    const abandon = () => {
      if (this.next !== source) return
      source.close()
      this.next = null
      setTimeout(() => this.goHome(home), longestBackoffMS * (1 + Math.random()))
    }
    const source = this.open(home.id, abandon)
    this.next = source
    setTimeout(abandon, moveMS)
  }

  private arrive(source: EventSource) {
    this.current?.close()
    this.current = source
    this.next = null
  }
}
