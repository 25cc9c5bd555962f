import type { Link, Snapshot } from './model'
import { silentMS, Stream, type Message, type Place } from './stream'

type Word =
  | { say: 'message'; message: Message }
  | { say: 'link'; link: Link }
  | { say: 'hello' } // a tab is new, or was not looked at for a while: it asks for everything
  | { say: 'all'; all: Snapshot; link: Link; places: Place[] }
  | { say: 'watch'; board: string; instead: string } // a tab looks at this board now, and no more at the other

const lockName = 'laurel-stream'
/** After this long without a word from the tab with the stream, one that is looked at takes the stream over: a hidden tab may be frozen. */
const patienceMS = silentMS + 3_000

export interface Hears {
  message(m: Message): void
  link(l: Link): void
  all(s: Snapshot): void
  everything(): Snapshot
}

/** Tabs has one tab of a browser hold the stream and the others hear of it from that one. */
export class Tabs {
  private leading = false
  private heard = Date.now()
  private channel: BroadcastChannel | null = null
  private release = () => {}
  private board = ''

  constructor(private stream: Stream, private hears: Hears) {}

  start() {
    // Without secure context (plain http from another machine) there are no locks: then each tab has its own stream.
    if (!navigator.locks || !window.BroadcastChannel) {
      this.leading = true
      this.stream.watch(this.board)
      this.stream.start()
    } else {
      this.channel = new BroadcastChannel('laurel')
      this.channel.onmessage = (e) => this.hear(e.data as Word)
      void this.queue()
      this.tell({ say: 'hello' })
      setInterval(() => this.suspect(), 3_000)
    }
    const seen = () => document.visibilityState === 'visible' && this.seen()
    document.addEventListener('visibilitychange', seen)
    window.addEventListener('pageshow', (e) => e.persisted && this.seen())
    // A page that was left may be kept with its lock, for a way back; the others need not wait for it.
    window.addEventListener('pagehide', () => this.release())
    window.addEventListener('online', () => this.leading && this.stream.wake())
  }

  /**
   * Watch has the stream carry a board. It carries one: that of the tab that said so last. A tab whose board it is not asks for it by itself, and says so
   * again when it is seen, or when the stream has room.
   */
  watch(board: string) {
    const instead = this.board
    this.board = board
    if (this.leading) this.turn(board, instead)
    else this.tell({ say: 'watch', board, instead })
  }

  private turn(board: string, instead: string) {
    if (board || this.stream.board === instead) this.stream.watch(board)
  }

  /** Message and link are called by the stream, in the tab that has it. */
  message(m: Message) {
    this.hears.message(m)
    this.tell({ say: 'message', message: m })
  }

  link(l: Link) {
    this.hears.link(l)
    this.tell({ say: 'link', link: l })
  }

  private tell(w: Word) {
    this.channel?.postMessage(w)
  }

  private seen() {
    if (this.leading) this.stream.wake()
    else this.tell({ say: 'hello' })
    if (this.board) this.watch(this.board)
  }

  /** Queue waits for the lock; holding it means having the stream, until the tab is closed or another takes it away. */
  private async queue(): Promise<void> {
    for (;;) {
      await navigator.locks.request(lockName, () => this.lead()).catch(() => this.follow())
      // Whoever waits gets the lock first; a page that is kept asks again when it is shown.
      if (document.visibilityState !== 'visible') await new Promise((seen) => document.addEventListener('visibilitychange', seen, { once: true }))
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

  /** Follow is what is left to a tab that did not seem to live: it goes on as a listener. */
  private follow() {
    this.leading = false
    this.heard = Date.now()
    this.stream.stop()
  }

  private suspect() {
    if (this.leading || document.visibilityState !== 'visible' || Date.now() - this.heard < patienceMS) return
    this.heard = Date.now()
    navigator.locks.request(lockName, { steal: true }, () => this.lead()).catch(() => this.follow())
  }

  private hear(w: Word) {
    if (w.say === 'hello') {
      if (this.leading) this.tell({ say: 'all', all: this.hears.everything(), link: this.stream.link, places: this.stream.places() })
      return
    }
    if (w.say === 'watch') {
      if (this.leading) this.turn(w.board, w.instead)
      return
    }
    // Two tabs can both believe to lead for a moment; neither then learns from the other.
    if (this.leading) return
    this.heard = Date.now()
    if (w.say === 'message') {
      this.stream.reached(w.message.at)
      this.hears.message(w.message)
      return
    }
    this.stream.link = w.link
    if (w.say === 'all') {
      w.places.forEach((at) => this.stream.reached(at))
      this.hears.all(w.all)
    }
    this.hears.link(w.link)
    if (this.board && w.link.phase === 'live' && !w.link.board && document.visibilityState === 'visible') this.watch(this.board)
  }
}
