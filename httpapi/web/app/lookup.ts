import { BadRequest, NotFound, type Directory } from './directory'
import type { Contest, Medals, ScorePage } from './model'
import { encoded } from './route'
import type { Section } from './section'
import type { Store } from './store'

/** Contests that are asked for at once, after as many as the page has at first. */
const pageSize = 200
const firstPage = 50
/** A search waits for the next letter, and ends when it has found so many. */
const typingMS = 250
const maxFound = 100
const retryMS = 2_000

/**
 * Lookup asks frontends for what the stream did not begin with, and puts it into the store:
 * the contest and the medal table of an address, more of a section, and what is searched.
 */
export class Lookup {
  /** What the address names does not exist. */
  missing = false
  /** The contests that frontends found for the words, and whether they go on. */
  found = new Set<string>()
  searching = false
  private words = ''
  private timer = 0
  private searches = 0
  private opened = 0
  /** Where the next page of a section begins; '' for its beginning. */
  private places: Partial<Record<Section, string>> = {}

  constructor(
    private directory: Directory,
    private store: Store,
    private frontend: () => string,
    private changed: () => void,
  ) {}

  /** open asks for the contest that an address names, and again until a frontend answers. */
  open(id: string) {
    const known = this.store.scores.get(id)
    this.ask(
      id && `/v1/scores/${encoded(id)}`,
      (c: Contest) => this.store.add([c]),
      () => this.store.drop(known),
    )
  }

  /** openMedals is open for the medal table of a competition. */
  openMedals(competition: string) {
    this.ask(competition && `/v1/medals/${encoded(competition)}`, (m: Medals) => this.store.table(m, 'resync'))
  }

  private ask<T>(path: string, take: (answer: T) => void, missing = () => {}) {
    const opened = ++this.opened
    this.missing = false
    if (!path) return
    const attempt = async () => {
      try {
        const answer = await this.directory.fetchJSON<T>(path, this.frontend())
        if (opened === this.opened) take(answer)
      } catch (e) {
        if (opened !== this.opened) return
        this.missing = e instanceof NotFound
        if (this.missing) {
          missing()
          this.changed()
        } else setTimeout(() => opened === this.opened && void attempt(), retryMS)
      }
    }
    void attempt()
  }

  /**
   * restart forgets what was asked for before the stream began again: what has changed since
   * may have been missed. A search begins again.
   */
  restart() {
    this.places = {}
    if (this.words) this.find(this.words)
  }

  /** more asks for the next contests of a section. */
  async more(section: Section): Promise<void> {
    const places = this.places
    const place = places[section] ?? ''
    const q = new URLSearchParams({ section, limit: String(place ? pageSize : firstPage + pageSize) })
    if (place) q.set('after', place)
    try {
      const page = await this.page(q)
      if (places !== this.places) return await this.more(section)
      places[section] = page.next
      this.store.extend(section, page.scores, page.next !== '')
    } catch {
      this.changed() // the button is still there
    }
  }

  /** find searches all contests for words, unless the store has them all. */
  find(words: string) {
    this.words = words.trim()
    this.found = new Set()
    clearTimeout(this.timer)
    const { live, next, finished } = this.store.sections
    this.searching = this.words !== '' && this.store.scores.size < live + next + finished
    const search = ++this.searches
    if (this.searching) this.timer = window.setTimeout(() => void this.search(this.words, search), typingMS)
  }

  private async search(words: string, search: number) {
    let after = ''
    do {
      const q = new URLSearchParams({ find: words, limit: '50' })
      if (after) q.set('after', after)
      const page = await this.searched(q, search)
      if (!page) break
      for (const c of page.scores) this.found.add(c.contest_id)
      this.store.add(page.scores)
      after = page.next
    } while (after && this.found.size < maxFound)
    if (search !== this.searches) return
    this.searching = false
    this.changed()
  }

  /** searched asks until a frontend answers; null if none takes the words, or for other words now. */
  private async searched(q: URLSearchParams, search: number): Promise<ScorePage | null> {
    for (;;) {
      try {
        const page = await this.page(q)
        return search === this.searches ? page : null
      } catch (e) {
        if (e instanceof BadRequest || search !== this.searches) return null
        await new Promise((resolve) => setTimeout(resolve, retryMS))
        if (search !== this.searches) return null
      }
    }
  }

  private page(q: URLSearchParams): Promise<ScorePage> {
    return this.directory.fetchJSON<ScorePage>(`/v1/scores?${q}`, this.frontend())
  }
}
