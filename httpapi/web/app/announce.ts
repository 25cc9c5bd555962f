import { headline, isLive, isOver, result, statusWord } from './format'
import type { Contest } from './model'

/** However much happens, somebody who listens hears one message in this time. */
const everyMS = 4_000
const most = 3

function sentence(c: Contest, before: Contest | undefined): string {
  const name = c.title || headline(c)
  const side = (p: Contest['competitors'][0]) => `${p.name || p.code} ${result(c, p)}`
  if (before && !isOver(before) && isOver(c)) {
    const winner = c.competitors.find((p) => p.code === c.winner)
    return `${name}: ${statusWord(c).toLowerCase()}. ${winner ? `${winner.name || winner.code} wins. ` : ''}${c.competitors.slice(0, 2).map(side).join(', ')}.`
  }
  if (before && !isLive(before) && isLive(c)) return `${name} has begun.`
  const score = (r: Contest) => r.competitors.map((p) => p.code + result(r, p)).join()
  if (before && score(before) === score(c) && before.result_status !== c.result_status) return `${name}: ${c.result_status.toLowerCase()}.`
  if (before && score(before) === score(c)) return ''
  const places = c.kind === 'ranked' ? c.competitors.slice(0, 1) : c.competitors.slice(0, 2)
  return places.length ? `${name}: ${c.kind === 'ranked' ? 'leader ' : ''}${places.map(side).join(', ')}${c.period ? ', ' + c.period : ''}.` : ''
}

/** Announcer speaks through the page's one live region: the latest sentence about each thing, a few at a time. */
export class Announcer {
  private waiting = new Map<string, { text: string; before?: Contest }>()
  private timer = 0
  private spokeAt = 0

  constructor(private region: HTMLElement) {}

  contest(c: Contest, before: Contest | undefined) {
    // Several changes of one contest become one sentence, from what was last said to what is.
    const first = this.waiting.has(c.contest_id) ? this.waiting.get(c.contest_id)!.before : before
    const text = sentence(c, first)
    if (text) this.put(c.contest_id, text, first)
  }

  say(key: string, text: string) {
    this.put(key, text)
  }

  private put(key: string, text: string, before?: Contest) {
    if (document.hidden) return
    this.waiting.delete(key)
    this.waiting.set(key, { text, before })
    if (!this.timer) this.timer = window.setTimeout(() => this.speak(), Math.max(300, this.spokeAt + everyMS - Date.now()))
  }

  private speak() {
    this.timer = 0
    this.spokeAt = Date.now()
    const all = [...this.waiting.values()].map((w) => w.text)
    this.waiting.clear()
    const more = all.length - most
    this.region.textContent = all.slice(-most).join(' ') + (more > 0 ? ` And ${more} more.` : '')
  }
}
