import { decisionWord, headline, isLive, isOver, result, sidesInOrder, statusWord, tiebreak } from './format'
import type { Competitor, Contest } from './model'
import { isolated } from './text'

/** The shortest time between two announcements, however much happens. */
const intervalMS = 4_000
const maxSentences = 3

function sentence(c: Contest, before: Contest | undefined): string {
  const name = headline(c)
  const nameOf = (p: Competitor) => isolated(p.name || p.code)
  const side = (p: Competitor) => `${nameOf(p)} ${result(c, p)} ${tiebreak(c, p)}`.trim()
  const winner = c.competitors.find((p) => p.code === c.winner)
  const outcome = [winner && `${nameOf(winner)} wins`, decisionWord(c.decision)].filter(Boolean).join(' ')
  if (before && !isOver(before) && isOver(c)) {
    const sides = sidesInOrder(c).slice(0, 2).map(side).join(', ')
    return `${name}: ${[statusWord(c).toLowerCase(), outcome, sides].filter(Boolean).join('. ')}.`
  }
  if (before && c.decision && (before.decision !== c.decision || before.winner !== c.winner))
    return `${name}: ${outcome}.`
  if (before?.decision && !c.decision)
    return `${name}: ${['decision taken back', outcome].filter(Boolean).join('. ')}.`
  if (before && !isLive(before) && isLive(c)) return `${name} has begun.`
  const score = (r: Contest) => sidesInOrder(r).map((p) => p.code + result(r, p) + tiebreak(r, p)).join()
  if (before && score(before) === score(c) && before.result_status !== c.result_status)
    return `${name}: ${c.result_status.toLowerCase()}.`
  if (before && score(before) === score(c)) return ''
  const places = sidesInOrder(c).slice(0, c.kind === 'ranked' ? 1 : 2)
  return places.length
    ? `${name}: ${c.kind === 'ranked' ? 'leader ' : ''}${places.map(side).join(', ')}${c.period ? ', ' + isolated(c.period) : ''}.`
    : ''
}

/**
 * Announcer writes to the page's live region: the latest sentence about each subject, a
 * few at a time.
 */
export class Announcer {
  private waiting = new Map<string, { text: string; before?: Contest }>()
  private timer = 0
  private spokeAt = 0

  constructor(private region: HTMLElement) {}

  contest(c: Contest, before: Contest | undefined) {
    // Several changes of a contest become one sentence, relative to the last announced state.
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
    if (!this.timer)
      this.timer = window.setTimeout(
        () => this.speak(),
        Math.max(300, this.spokeAt + intervalMS - Date.now()),
      )
  }

  private speak() {
    this.timer = 0
    this.spokeAt = Date.now()
    const all = [...this.waiting.values()].map((w) => w.text)
    this.waiting.clear()
    const more = all.length - maxSentences
    this.region.textContent = all.slice(-maxSentences).join(' ') + (more > 0 ? ` And ${more} more.` : '')
  }
}
