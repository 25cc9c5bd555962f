import type { Directory } from './directory'
import type { Contest, Medals } from './model'
import { parsePolicy, Refused } from './policy'
import { encoded } from './route'
import type { Store } from './store'
import { localSeconds } from './time'
import { Reader, type Verified } from './verify'

/** A change is certified after half a second or a little more. Not all readers ask at once. */
const firstAskMS = 600
const spreadMS = 250
const retryMS = 800
/** What is certified is asked for again: certificates could stop. */
const renewMS = 5_000
/** The page warns when nothing that it has shown for so long is certified. */
const patienceMS = 10_000
/** A frontend is named that was late so often while another one was not. */
const maxLate = 3
/** The page has a mark for at most so many medal tables. */
export const maxMarks = 10

/** Mark says of a record whether what is shown is certified. */
export interface Mark {
  tone: 'certified' | 'waiting' | 'warning'
  text: string
}

type Shown = Contest | Medals

/** Subject is a record on the screen. */
interface Subject {
  key: string
  /** What the page has shown lately, the present record last. */
  recent: { record: Shown; at: number }[]
  /** The last record that was shown and is certified. */
  certified?: Verified & { record: Shown }
  /** Since when nothing that is shown was certified, and why. */
  since: number
  why: string
  /** How often it was asked for since then. */
  tries: number
  timer: number
  asking: boolean
}

/** same compares two records, whatever the order of their fields. */
function same(a: any, b: any): boolean {
  if (!a || !b || typeof a !== 'object' || typeof b !== 'object') return a === b
  return [...Object.keys(a), ...Object.keys(b)].every((k) => same(a[k], b[k]))
}

/** The answer of GET /v1/proof. */
interface Proven {
  answer: string | null
  proof: string
}

/**
 * Certified has frontends prove what the page shows, and verifies that by the policy of the
 * page. The page shows changes at once, and marks them when they are certified.
 */
export class Certified {
  /** Why this page verifies nothing; '' if it does. */
  unable = ''
  /** How many frontends must sign, such as 3 of 4. */
  quorum = ''
  /** Two certificates that contradict each other: no frontend can be believed any longer. */
  fork: string[] = []
  /** A frontend that the page has left, because it did not send what is certified. */
  left = ''
  private reader: Reader | null = null
  private subjects = new Map<string, Subject>()
  /** The frontends whose last proof does not verify, and how often another one then had a good one. */
  private doubted = new Map<string, { why: Refused; times: number }>()

  constructor(
    policy: string,
    private directory: Directory,
    private store: Store,
    private frontend: () => string,
    private changed: () => void,
    /** Has the page get its stream from another frontend. */
    private leave: (frontend: string) => void,
  ) {
    void this.start(policy)
  }

  private async start(policy: string) {
    if (!globalThis.crypto?.subtle) this.unable = 'this page was not opened by https, or from a file'
    else
      try {
        const believed = await parsePolicy(policy)
        this.quorum = `${believed.quorum} of ${believed.frontends.length}`
        this.reader = new Reader(believed)
      } catch (e) {
        this.unable = e instanceof Refused ? e.message : 'this browser has no Ed25519'
      }
    for (const s of this.subjects.values()) this.schedule(s, 0)
    this.changed()
  }

  /** show names what is on the screen: scores/ID or medals/COMPETITION. */
  show(keys: string[]) {
    for (const [key, s] of this.subjects)
      if (!keys.includes(key)) {
        clearTimeout(s.timer)
        this.subjects.delete(key)
      }
    for (const key of keys) {
      const s = this.subjects.get(key) ?? this.begin(key)
      const record = this.record(key)
      if (!record || s.recent.at(-1)?.record === record) continue
      const now = Date.now()
      if (!s.recent.length) s.since = now
      const lately = s.recent.filter((r, i) => i === s.recent.length - 1 || r.at > now - patienceMS)
      s.recent = [...lately, { record, at: now }]
      this.schedule(s, firstAskMS + Math.random() * spreadMS)
    }
  }

  private begin(key: string): Subject {
    const s = { key, recent: [], since: Date.now(), why: '', tries: 0, timer: 0, asking: false }
    this.subjects.set(key, s)
    return s
  }

  /** wake asks anew, when the page becomes visible. */
  wake() {
    for (const s of this.subjects.values()) {
      s.since = Date.now()
      this.schedule(s, 0)
    }
  }

  /** mark returns what to say of a record on the screen; nothing if the page verifies nothing. */
  mark(key: string): Mark | undefined {
    const s = this.subjects.get(key)
    const record = this.record(key)
    if (!s || !record || this.unable) return undefined
    if (this.fork.length)
      return { tone: 'warning', text: 'Two certificates contradict each other: believe no score of this page' }
    const { certified } = s
    if (Date.now() - s.since > patienceMS) {
      const since = certified ? ' since ' + localSeconds(certified.at) : ''
      return { tone: 'warning', text: `Not certified${since}: ${s.why || 'no frontend answers'}` }
    }
    return certified?.record === record
      ? { tone: 'certified', text: `certified ${localSeconds(certified.at)} by ${certified.by.join(', ')}` }
      : { tone: 'waiting', text: 'not certified yet' }
  }

  /** warnings returns what to say of frontends. */
  warnings(): string[] {
    const all = [...this.doubted]
      .filter(([, d]) => !isLate(d.why) || d.times >= maxLate)
      .map(([id, d]) => `${id} gave what does not verify, and another frontend was asked: ${d.why.message}.`)
    if (this.left) all.push(`${this.left} did not send what is certified. This page shows that, and has left it.`)
    return all
  }

  private record(key: string): Shown | undefined {
    const [kind, id] = key.split(/\/(.*)/s) as [string, string]
    return kind === 'scores' ? this.store.scores.get(id) : this.store.medals.get(id)
  }

  private schedule(s: Subject, ms: number) {
    if (!this.reader || s.asking || this.subjects.get(s.key) !== s) return
    clearTimeout(s.timer)
    s.timer = window.setTimeout(() => void this.ask(s), ms)
  }

  private async ask(s: Subject) {
    if (document.hidden || !s.recent.length) return // until it is shown
    const asked = s.recent.at(-1)!.record
    s.asking = true
    s.tries++
    const refused = new Map<string, Refused>()
    let proven = false
    for (const id of new Set([this.frontend(), ...this.directory.candidates()])) {
      if (!this.directory.urlOf(id)) continue
      const answer = await this.askFrontend(s, id)
      if (answer instanceof Refused) refused.set(id, answer)
      proven = answer === true
      if (proven) {
        this.doubted.delete(id)
        break
      }
    }
    for (const [id, why] of refused)
      if (proven || !isLate(why)) this.doubted.set(id, { why, times: (this.doubted.get(id)?.times ?? 0) + 1 })
    s.asking = false
    if (s.recent.at(-1)!.record !== asked) this.schedule(s, firstAskMS)
    else if (!s.tries) this.schedule(s, renewMS)
    else this.schedule(s, Math.min(retryMS * 2 ** s.tries * (0.5 + Math.random()), renewMS))
    this.changed()
  }

  /**
   * askFrontend reports whether a frontend has proven the answer, whatever it is. It returns
   * why not if that is the fault of the frontend.
   */
  private async askFrontend(s: Subject, id: string): Promise<boolean | Refused> {
    let p: Proven
    try {
      p = await this.directory.fetchFrom<Proven>(id, `/v1/proof/${encoded(s.key)}`)
    } catch {
      return false
    }
    try {
      const verified = await this.reader!.verify(s.key, p.answer, String(p.proof), Date.now())
      this.compare(s, p.answer, verified)
      return true
    } catch (e) {
      if (!(e instanceof Refused)) throw e
      s.why = e.message
      if (e.why === 'fork') this.fork = e.notes
      return e.why !== 'fork' && e.why !== 'expired' && e
    }
  }

  /** compare looks whether the page shows what is certified, or did a moment ago. */
  private compare(s: Subject, answer: string | null, verified: Verified) {
    const now = Date.now()
    const record: Shown | null = JSON.parse(answer ?? 'null')
    const lately = (i: number) => (s.recent[i + 1]?.at ?? now) > now - patienceMS // until when it was shown
    const shown = s.recent.findLast((r, i) => lately(i) && same(r.record, record))
    if (shown) {
      s.since = now
      s.certified = { ...verified, record: shown.record }
      if (shown === s.recent.at(-1)) s.tries = 0
      return
    }
    s.why = 'the frontends have certified something else'
    if (!record || now - s.since < patienceMS) return
    this.left = this.frontend()
    this.leave(this.left)
    this.store.certify(record)
  }
}

/** isLate reports whether a good frontend can give such a proof for a moment. */
const isLate = (r: Refused) => ['older', 'stale', 'future'].includes(r.why)
