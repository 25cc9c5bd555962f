import type { Frontend, Frontends } from './model'

/**
 * The prefix of the page's path, '' for none: a proxy may serve the page below a path, and
 * another group's page below another one.
 */
export const prefix = new URL('.', location.href).pathname.replace(/\/$/, '')
/** Where the page came from: the frontend that served it, or a proxy before several. */
export const servedAt = location.origin + prefix

/** What pages share by the browser has this in its name. A page in a file has its own. */
export const sharedName = (written: boolean) => (written ? location.pathname : prefix)

function stored(key: string): string {
  try {
    return localStorage.getItem(key) ?? ''
  } catch {
    return '' // storage is disabled: the home is lost when the tab is closed
  }
}

const isLoopback = (host: string) => host === 'localhost' || host === '[::1]' || host.startsWith('127.')

/**
 * reachable reports whether the page may have a way to a URL: a loopback address is the
 * reader's own machine, unless the page comes from there.
 */
const reachable = (url: string) =>
  isLoopback(location.hostname) || !isLoopback(new URL(url, location.href).hostname)

/**
 * How long a frontend that failed is tried after all others; and after those that have
 * answered before, if it never has.
 */
const deprioritizeMS = 10_000
const deprioritizeUntriedMS = 30_000

/** Directory lists the frontends and chooses which to use. */
export class Directory {
  group: Frontends
  home: string
  private homeKey: string
  /** The frontends that a written page asks, whatever the group lists. */
  private given: Frontend[] | null
  private failed = new Map<string, number>()
  /** Those that have answered this page, and those that it could not reach and that never have. */
  private answered: Set<string>
  private missed = new Set<string>()
  /** The URLs at which scores are private, and this page is not taken for a reader's. */
  private denied = new Set<string>()

  /**
   * servedBy is the frontend that served the page. It is reached where the page came
   * from, whatever URL the group lists. A page that is signed in is that at its own origin
   * only. No frontend has served a page that was written: it asks those that it was given, by
   * their hosts, because what frontends say of each other may be a lie.
   */
  constructor(
    group: Frontends,
    private servedBy: string,
    private signedIn: boolean,
    readonly written: boolean,
  ) {
    this.group = { ...group, frontends: group.frontends ?? [] }
    this.given = written ? [...this.group.frontends] : null
    this.homeKey = 'laurel.home' + sharedName(written)
    this.home = stored(this.homeKey)
    this.answered = new Set([servedBy])
  }

  private get list(): Frontend[] {
    return this.given ?? this.group.frontends
  }

  /** named returns the id of the frontend that serves a stream to id, and says so. */
  named(id: string, says: string): string {
    return this.given ? id : says || id
  }

  update(group: Frontends) {
    if (group.frontends?.length) this.group = group
  }

  /** add records the URL of a frontend named by a home event. */
  add(id: string, url: string) {
    const known = this.group.frontends.find((f) => f.id === id)
    if (known) known.url = url || known.url
    else
      this.group.frontends.push({
        id,
        url,
        master: false,
        voter: false,
        state: 'serving',
        healthy: true,
        leased: false,
        watchers: 0,
        revision: 0,
        pushed: 0,
        released: 0,
        lease_ms: 0,
      })
  }

  urlOf(id: string): string {
    if (!this.given && (id === this.servedBy || !id)) return servedAt
    const url = this.list.find((f) => f.id === id)?.url.replace(/\/+$/, '') ?? ''
    return this.given || reachable(url) ? url : ''
  }

  /** loadHome reads the home again: another tab may have set it. */
  loadHome() {
    this.home = stored(this.homeKey) || this.home
  }

  /** retryAt returns until when a frontend comes after those that have not failed; 0 for one that has not. */
  private retryAt(id: string): number {
    const wait = this.missed.has(id) ? deprioritizeUntriedMS : deprioritizeMS
    const at = (this.failed.get(id) ?? -Infinity) + wait
    return at > Date.now() ? at : 0
  }

  /** hasFailed reports whether a frontend has not served the page since it failed. */
  hasFailed(id: string): boolean {
    return this.failed.has(id)
  }

  markFailed(id: string) {
    this.failed.set(id, Date.now())
    if (!this.answered.has(id)) this.missed.add(id)
  }

  markReachable(id: string) {
    this.failed.delete(id)
    this.markAnswered(id, true)
    if (!this.home && id) this.setHome(id)
  }

  private markAnswered(id: string, permitted: boolean) {
    this.answered.add(id)
    this.missed.delete(id)
    if (permitted) this.denied.delete(this.urlOf(id))
    else this.denied.add(this.urlOf(id))
  }

  /** needSignIn lists the frontends that answer readers only. */
  needSignIn(): string[] {
    const known = this.list.map((f) => f.id)
    return [...new Set([this.servedBy, ...known])].filter((id) => this.denied.has(this.urlOf(id))).sort()
  }

  /**
   * untrusted lists the frontends whose certificates this browser does not trust, as far as
   * a page can know: the group says that they serve, but they never answered here.
   */
  untrusted(): string[] {
    return this.others()
      .filter((f) => f.state === 'serving' && this.missed.has(f.id))
      .map((f) => f.id)
      .sort()
  }

  /** others lists the frontends with a certificate that the page's own origin has not shown. */
  private others(): Frontend[] {
    return this.list.filter((f) => {
      const url = this.urlOf(f.id)
      return url.startsWith('https:') && new URL(url).origin !== location.origin
    })
  }

  /** checkOthers tries the frontends that have not answered this page yet. */
  async checkOthers() {
    const untried = this.others().filter((f) => !this.answered.has(f.id))
    await Promise.all(
      untried.map((f) => this.ask(f.id, '/v1/frontends').catch(() => void this.missed.add(f.id))),
    )
  }

  setHome(id: string) {
    this.home = id
    try {
      localStorage.setItem(this.homeKey, id)
    } catch {
      // storage is disabled
    }
  }

  /** refusesSession reports whether a frontend gets no session from a page that is signed in. */
  private refusesSession(id: string): boolean {
    return this.signedIn && new URL(this.urlOf(id), location.href).origin !== location.origin
  }

  /**
   * candidates lists the frontends in the order to try them: first those that have not
   * failed recently, then those that the session is for, the home, those that the group
   * considers serving and has not put out, and those with few watchers.
   */
  candidates(): string[] {
    const known = this.list.filter((f) => this.urlOf(f.id))
    if (!this.given && !known.some((f) => f.id === this.servedBy))
      known.push({ id: this.servedBy, state: 'serving', watchers: 0 } as Frontend)
    const chance = new Map(known.map((f) => [f.id, f.id === this.servedBy ? -1 : Math.random()]))
    const key = (f: Frontend) => [
      this.retryAt(f.id),
      this.refusesSession(f.id) ? 1 : 0,
      f.id === this.home ? 0 : 1,
      f.state === 'serving' && !f.put_out ? 0 : 1,
      f.watchers,
      chance.get(f.id)!,
    ]
    const keys = new Map(known.map((f) => [f, key(f)]))
    known.sort((a, b) => {
      const ka = keys.get(a)!,
        kb = keys.get(b)!
      const at = ka.findIndex((v, i) => v !== kb[i])
      return at < 0 ? 0 : ka[at]! - kb[at]!
    })
    return known.map((f) => f.id)
  }

  /** exhausted reports whether each frontend has failed since the given time. */
  exhausted(since: number): boolean {
    return this.candidates().every((id) => (this.failed.get(id) ?? -1) >= since)
  }

  private async ask(id: string, path: string): Promise<Response> {
    const answer = await fetch(this.urlOf(id) + path, {
      headers: { Accept: 'application/json' },
      // The session of a reader is a cookie of the page's origin, and of no use elsewhere.
      credentials: 'same-origin',
      signal: AbortSignal.timeout(4000),
    })
    this.markAnswered(id, answer.status !== 401)
    return answer
  }

  /** fetchFrom fetches from one frontend. */
  async fetchFrom<T>(id: string, path: string): Promise<T> {
    const answer = await this.ask(id, path)
    if (!answer.ok) throw new Error(`${id} answered ${answer.status}`)
    return (await answer.json()) as T
  }

  /** fetchJSON fetches from the frontend named first, or from any other that answers. */
  async fetchJSON<T>(path: string, first: string): Promise<T> {
    let last: unknown = new Error('no frontend is known')
    for (const id of new Set([first, ...this.candidates()])) {
      if (!this.urlOf(id)) continue
      try {
        const answer = await this.ask(id, path)
        if (answer.ok) return await answer.json()
        last = new Error(`${id || servedAt} answered ${answer.status}`)
        if (answer.status === 404) throw new NotFound(path)
        if (answer.status === 400) throw new BadRequest(path)
      } catch (e) {
        if (e instanceof NotFound || e instanceof BadRequest) throw e
        last = e
      }
    }
    throw last
  }
}

/** NotFound is thrown when a frontend answers 404. */
export class NotFound extends Error {}

/** BadRequest is thrown when a frontend answers 400. */
export class BadRequest extends Error {}
