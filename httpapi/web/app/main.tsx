// Where the page begins: it takes over what the server painted, and keeps it true.

import { render } from 'preact'
import { Announcer } from './announce'
import { App, titleOf, type Page } from './app'
import { Directory } from './directory'
import { listen } from './keys'
import { Leaderboard } from './leaderboard'
import type { BoardEvent, BoardRow, Link, Served } from './model'
import { rendering } from './parts'
import { route, toCluster, toMedals, toScores, type Route } from './route'
import { Store, type Manner } from './store'
import { Stream, type Message } from './stream'
import { isStale } from './strip'
import { Tabs } from './tabs'
import { Timeline } from './timeline'

const served = JSON.parse(document.getElementById('served')!.textContent!) as Served
const root = document.getElementById('app')!
const announcer = new Announcer(document.getElementById('said')!)
const directory = new Directory(served.frontends, served.frontend)

/** What waits to be drawn; a resync among it keeps the whole from flashing. */
let pending: Manner | null = null

function draw(manner: Manner) {
  if (pending === null && !document.hidden) requestAnimationFrame(paint)
  pending = pending === 'resync' ? 'resync' : manner
}

function paint() {
  rendering.flashes = pending === 'live'
  pending = null
  document.title = titleOf(page)
  render(<App {...page} />, root)
}

const store = new Store((manner, contest, before) => {
  look()
  draw(manner)
  if (!contest) return
  const open = page.route.view === 'contest' ? page.route.id : ''
  if (contest.contest_id === open) {
    page.timeline?.refresh(contest.revision)
    page.board?.stir()
  }
  if (manner === 'live' && (!open || contest.contest_id === open)) announcer.contest(contest, before)
})

const link: Link = {
  phase: 'connecting', frontend: served.frontend, url: location.origin, home: directory.home, mode: served.frontends.mode, epoch: served.frontends.epoch,
  revision: served.revision, heard: Math.min(served.served_at, Date.now()), retryAt: 0, exhausted: false, behind: 0, board: '',
}

const page: Page = {
  store, directory, link, linkNow: () => page.link, route: route(location.hash), timeline: null, board: null, find: '', helping: false,
  onFind(s) {
    page.find = s
    draw('resync')
  },
  onHelp(open) {
    page.helping = open
    draw('resync')
  },
}

let lost = false

function linked(l: Link) {
  const was = page.link
  page.link = l
  if (page.board) page.board.carried = l.board
  if (was.phase === 'live' && l.phase !== 'live') {
    lost = true
    announcer.say('link', 'The connection is lost; connecting again.')
  }
  if (lost && l.phase === 'live') {
    lost = false
    announcer.say('link', 'Connected again.')
  }
  if (!isStale(was, Date.now()) && isStale(l, Date.now())) announcer.say('link', 'No frontend can be reached; the scores may be old.')
  if (l.phase === 'live' && was.phase !== 'live') page.board?.stir()
  if (l.phase !== was.phase || l.frontend !== was.frontend) draw('live')
}

let lookedAt = served.revision

/** The stream does not tell of an event that changes no score, such as an alert: a heartbeat with a higher revision makes the page look. */
function heartbeat(m: Message) {
  const before = store.revision
  store.heartbeat(m.data)
  if (m.data.revision > lookedAt) {
    lookedAt = m.data.revision
    page.timeline?.refresh(m.data.revision)
    page.board?.stir()
  }
  if (store.revision !== before) draw('live')
}

function message(m: Message) {
  switch (m.name) {
    case 'snapshot':
      store.snapshot(m.data)
      for (const e of (m.data.leaderboards ?? []) as BoardEvent[]) page.board?.event(e, 'resync')
      return
    case 'score':
      return store.score(m.data, m.manner)
    case 'medals':
      return store.table(m.data, m.manner)
    case 'timeline':
      return page.timeline?.add(m.data)
    case 'leaderboard':
      return page.board?.event(m.data, m.manner)
    case 'heartbeat':
      return heartbeat(m)
  }
}

function navigate() {
  const before = page.route
  page.route = route(location.hash)
  const now = page.route
  if (now.view === 'contest' && sameContest(before, now) && page.timeline) return page.board?.show(now.sight)
  page.timeline?.close()
  page.board?.close()
  page.timeline = page.board = null
  readUpTo = 0
  if (now.view !== 'contest') return
  const timeline = new Timeline(now.id, directory, () => page.link.frontend, () => happened(timeline))
  page.timeline = timeline
  timeline.refresh(store.scores.get(now.id)?.revision ?? 0, true)
  look()
}

/** Look begins the board of the contest that is looked at, once it is known to be a ranked one. */
function look() {
  const now = page.route
  if (now.view !== 'contest' || !page.timeline || page.board || store.scores.get(now.id)?.kind !== 'ranked') return
  page.board = new Leaderboard(now.id, directory, () => page.link.frontend, (board) => tabs.watch(board), ranked)
  page.board.carried = page.link.board
  page.board.show(now.sight)
}

/** Ranked: the board has changed; who is followed has another place. */
function ranked(manner: Manner, followed?: BoardRow) {
  if (followed) announcer.say('followed', `${followed.name || followed.competitor}: ${followed.rank ? 'rank ' + followed.rank : followed.irm}.`)
  draw(manner)
}

/** What of the timeline has been looked through for corrections and marks. */
let readUpTo = 0

function happened(t: Timeline) {
  if (t !== page.timeline) return
  const begins = readUpTo === 0
  const fresh = t.events.filter((e) => e.revision > readUpTo)
  readUpTo = t.events.at(-1)?.revision ?? 0
  page.board?.learn(fresh.filter((e) => e.type === 'result.set' && !e.voided_by).map((e) => e.data as { split: string; category?: string }))
  store.corrected.timeline(t.contestID, t.corrections)
  const why = fresh.map((e) => t.corrections.rights.get(e.revision)).findLast((w) => w !== undefined)
  if (!begins && why !== undefined) announcer.say('corrected', `Corrected: ${why}.`)
  draw('live')
}

const go = (hash: string) => (location.hash = hash)

function find() {
  if (page.route.view !== 'scores') {
    go(toScores)
    navigate()
  }
  paint()
  document.getElementById('find')?.focus()
}

const sameContest = (was: Route, now: Route) => was.view === 'contest' && now.view === 'contest' && was.id === now.id

window.addEventListener('hashchange', () => {
  const was = page.route
  navigate()
  pending = 'resync'
  paint()
  if (sameContest(was, page.route)) return
  window.scrollTo(0, 0)
  // Who opened a line with the keyboard goes on in what it opened.
  if (document.activeElement === document.body) document.getElementById('main')?.focus({ preventScroll: true })
})
document.addEventListener('visibilitychange', () => {
  if (document.hidden) return
  page.board?.stir()
  pending = 'resync'
  paint()
})
listen({ find, bib: () => document.getElementById('bib')?.focus(), medals: () => go(toMedals('')), scores: () => go(toScores), cluster: () => go(toCluster), help: () => page.onHelp(true) })

const stream = new Stream(link, directory, () => store.competitions(), (m) => tabs.message(m), (l) => tabs.link(l))
stream.reached({ id: served.last_event_id ?? '', of: '' })
const tabs = new Tabs(stream, { message, link: linked, all: (s) => store.snapshot(s), everything: () => store.all() })

store.served(served)
navigate()
root.textContent = ''
paint()
tabs.start()
