import type { StreamStatus, Snapshot } from './model'
import { silenceMS, Stream, type Message } from './stream'

type TabMessage =
  | { kind: 'message'; message: Message }
  | { kind: 'status'; status: StreamStatus }
  | { kind: 'hello' } // a tab is new or visible again: it asks for everything
  | { kind: 'all'; all: Snapshot; status: StreamStatus; position: string }
  | { kind: 'watch'; board: string; previous: string } // a tab shows this board now, instead of the previous one
  | { kind: 'leave'; frontend: string } // a tab has found this frontend lying
  | { kind: 'sign-out' } // the session of the browser ends

/**
 * A visible tab takes the stream over after this long without a message from the leader,
 * which may be frozen.
 */
const leaderTimeoutMS = silenceMS + 3_000

export interface TabListener {
  message(m: Message): void
  status(l: StreamStatus): void
  snapshot(s: Snapshot): void
  all(): Snapshot
}

/**
 * Tabs has one tab of a browser, the leader, hold the stream and forward its messages to
 * the others.
 */
export class Tabs {
  private leading = false
  private heard = Date.now()
  private channel: BroadcastChannel | null = null
  private release = () => {}
  private board = ''

  constructor(
    private stream: Stream,
    private listener: TabListener,
    /** What tabs that share a stream have in common. */
    private name: string,
  ) {}

  private get lockName() {
    return 'laurel-stream' + this.name
  }

  start() {
    // Without a secure context (plain HTTP from another machine) there are no locks: each tab has its own stream.
    if (!navigator.locks || !window.BroadcastChannel) {
      this.leading = true
      this.stream.watch(this.board)
      this.stream.start()
    } else {
      this.channel = new BroadcastChannel('laurel' + this.name)
      this.channel.onmessage = (e) => this.onPost(e.data as TabMessage)
      void this.acquireLock()
      this.post({ kind: 'hello' })
      setInterval(() => this.checkLeader(), 3_000)
    }
    const visible = () => document.visibilityState === 'visible' && this.onVisible()
    document.addEventListener('visibilitychange', visible)
    window.addEventListener('pageshow', (e) => e.persisted && this.onVisible())
    // The browser may keep a page that was left, with its lock; the others must not wait for it.
    window.addEventListener('pagehide', () => this.release())
    window.addEventListener('online', () => this.leading && this.stream.wake())
  }

  /**
   * watch has the stream carry a window. It carries one: that of the tab that called
   * last. Another tab polls its own window, and calls again when it becomes visible or
   * the stream carries none.
   */
  watch(board: string) {
    const previous = this.board
    this.board = board
    if (this.leading) this.setBoard(board, previous)
    else this.post({ kind: 'watch', board, previous })
  }

  /** leave has the stream come from another frontend than this one. */
  leave(frontend: string) {
    if (this.leading) this.stream.leave(frontend)
    else this.post({ kind: 'leave', frontend })
  }

  private setBoard(board: string, previous: string) {
    if (board || this.stream.board === previous) this.stream.watch(board)
  }

  /** signOut ends the session of the browser and has all tabs load the page anew. */
  async signOut() {
    const body = new URLSearchParams({ sign_out: 'yes' })
    const answer = await fetch('./', { method: 'POST', body, redirect: 'manual' })
    // Only the answer that ends the session is a redirect.
    if (answer.type !== 'opaqueredirect') throw new Error(`signing out was answered by ${answer.status}`)
    this.post({ kind: 'sign-out' })
    location.reload()
  }

  /** message and status are called by the stream, in the leading tab. */
  message(m: Message) {
    this.listener.message(m)
    this.post({ kind: 'message', message: m })
  }

  status(l: StreamStatus) {
    this.listener.status(l)
    this.post({ kind: 'status', status: l })
  }

  private post(m: TabMessage) {
    this.channel?.postMessage(m)
  }

  private onVisible() {
    if (this.leading) this.stream.wake()
    else this.post({ kind: 'hello' })
    if (this.board) this.watch(this.board)
  }

  /**
   * acquireLock waits for the lock, whose holder leads until its tab is closed or another
   * tab steals it.
   */
  private async acquireLock(): Promise<void> {
    for (;;) {
      await navigator.locks.request(this.lockName, () => this.lead()).catch(() => this.follow())
      // Another waiting tab gets the lock first; a hidden page asks again when it is shown.
      if (document.visibilityState !== 'visible')
        await new Promise((shown) => document.addEventListener('visibilitychange', shown, { once: true }))
    }
  }

  private lead(): Promise<void> {
    this.leading = true
    this.stream.watch(this.board)
    this.stream.start()
    return new Promise((resolve) => {
      this.release = () => {
        this.follow()
        resolve()
      }
    })
  }

  /** follow makes a tab that lost the lock a listener. */
  private follow() {
    this.leading = false
    this.heard = Date.now()
    this.stream.stop()
  }

  private checkLeader() {
    if (this.leading || document.visibilityState !== 'visible' || Date.now() - this.heard < leaderTimeoutMS)
      return
    this.heard = Date.now()
    navigator.locks.request(this.lockName, { steal: true }, () => this.lead()).catch(() => this.follow())
  }

  private onPost(m: TabMessage) {
    if (m.kind === 'hello') {
      if (this.leading)
        this.post({
          kind: 'all',
          all: this.listener.all(),
          status: this.stream.status,
          position: this.stream.position,
        })
      return
    }
    if (m.kind === 'sign-out') {
      location.reload()
      return
    }
    if (m.kind === 'leave') {
      if (this.leading) this.stream.leave(m.frontend)
      return
    }
    if (m.kind === 'watch') {
      if (this.leading) this.setBoard(m.board, m.previous)
      return
    }
    // For a moment two tabs can believe that they lead; they ignore each other.
    if (this.leading) return
    this.heard = Date.now()
    if (m.kind === 'message') {
      this.stream.position = m.message.position
      this.listener.message(m.message)
      return
    }
    this.stream.status = m.status
    if (m.kind === 'all') {
      this.stream.position = m.position
      this.listener.snapshot(m.all)
    }
    this.listener.status(m.status)
    if (this.board && m.status.phase === 'live' && !m.status.board && document.visibilityState === 'visible')
      this.watch(this.board)
  }
}
