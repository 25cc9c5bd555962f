import type { Frontend, Frontends } from './model'

const homeKey = 'laurel.home'

function stored(key: string): string {
  try {
    return localStorage.getItem(key) ?? ''
  } catch {
    return '' // storage is switched off: the home is then forgotten with the tab
  }
}

/** How long a frontend that failed is tried only after the others. */
const shunMS = 10_000

/** Directory is the list of frontends, and which of them to turn to. */
export class Directory {
  home = stored(homeKey)
  group: Frontends
  private failed = new Map<string, number>()

  /** servedBy is the frontend that gave the page: it is reached at the page's own origin, whatever the others call it. */
  constructor(group: Frontends, private servedBy: string) {
    this.group = { ...group, frontends: group.frontends ?? [] }
  }

  take(group: Frontends) {
    if (group.frontends?.length) this.group = group
  }

  /** Learn adds what a home event told of a frontend. */
  learn(id: string, url: string) {
    const known = this.group.frontends.find((f) => f.id === id)
    if (known) known.url = url || known.url
    else this.group.frontends.push({ id, url, master: false, voter: false, state: 'serving', leased: false, watchers: 0, revision: 0, pushed: 0, released: 0, lease_ms: 0 })
  }

  urlOf(id: string): string {
    if (id === this.servedBy || !id) return location.origin
    return this.group.frontends.find((f) => f.id === id)?.url.replace(/\/+$/, '') ?? ''
  }

  /** Recall reads the home again: another tab may have found one. */
  recall() {
    this.home = stored(homeKey) || this.home
  }

  isFailed(id: string) {
    return Date.now() - (this.failed.get(id) ?? -Infinity) < shunMS
  }

  fail(id: string) {
    this.failed.set(id, Date.now())
  }

  worked(id: string) {
    this.failed.delete(id)
    if (!this.home && id) this.settle(id)
  }

  settle(id: string) {
    this.home = id
    try {
      localStorage.setItem(homeKey, id)
    } catch {
      // as above
    }
  }

  /** Order lists the frontends, the one to try first in front: not failed just now, the home, reachable as far as the group knows, few watchers. */
  order(): string[] {
    const known = this.group.frontends.filter((f) => this.urlOf(f.id))
    if (!known.some((f) => f.id === this.servedBy)) known.push({ id: this.servedBy, state: 'serving', watchers: 0 } as Frontend)
    const chance = new Map(known.map((f) => [f.id, f.id === this.servedBy ? -1 : Math.random()]))
    const key = (f: Frontend) => [
      this.isFailed(f.id) ? this.failed.get(f.id)! : 0,
      f.id === this.home ? 0 : 1,
      f.state === 'serving' ? 0 : 1,
      f.watchers,
      chance.get(f.id)!,
    ]
    const keys = new Map(known.map((f) => [f, key(f)]))
    known.sort((a, b) => {
      const ka = keys.get(a)!, kb = keys.get(b)!
      const at = ka.findIndex((v, i) => v !== kb[i])
      return at < 0 ? 0 : ka[at]! - kb[at]!
    })
    return known.map((f) => f.id)
  }

  /** Exhausted: each frontend has failed since the moment given. */
  exhausted(since: number): boolean {
    return this.order().every((id) => (this.failed.get(id) ?? -1) >= since)
  }

  /** Ask fetches JSON from the frontend named first, or from whichever other answers. */
  async ask<T>(path: string, first: string): Promise<T> {
    let last: unknown = new Error('no frontend is known')
    for (const id of new Set([first, ...this.order()])) {
      const url = this.urlOf(id)
      if (!url) continue
      try {
        const answer = await fetch(url + path, { headers: { Accept: 'application/json' }, credentials: 'omit', signal: AbortSignal.timeout(4000) })
        if (answer.ok) return await answer.json()
        last = new Error(`${id || url} says ${answer.status}`)
        if (answer.status === 404) throw new Missing(path)
        if (answer.status === 400) throw new Refused(path)
      } catch (e) {
        if (e instanceof Missing || e instanceof Refused) throw e
        last = e
      }
    }
    throw last
  }
}

/** Missing says that a frontend answered, and that there is no such thing. */
export class Missing extends Error {}

/** Refused says that a frontend answered, and that there can be no such thing. */
export class Refused extends Error {}
