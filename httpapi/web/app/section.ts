import { isLive, isOver } from './format'
import type { Contest } from './model'
import { earlier } from './time'

/** The sections of the list, as frontends count them. */
export type Section = 'live' | 'next' | 'finished'

export const sectionOf = (c: Contest): Section => (isLive(c) ? 'live' : isOver(c) ? 'finished' : 'next')

const byID = (a: Contest, b: Contest) =>
  a.contest_id < b.contest_id ? -1 : a.contest_id > b.contest_id ? 1 : 0
const byStart = (a: Contest, b: Contest) => earlier(a.start_time, b.start_time) || byID(a, b)

/** The orders of the sections. firstpaint.go has the same. */
export const inOrder: Record<Section, (a: Contest, b: Contest) => number> = {
  live: byStart,
  next: byStart,
  finished: (a, b) => b.revision - a.revision || byID(a, b),
}
