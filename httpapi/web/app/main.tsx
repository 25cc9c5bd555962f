// Where the page begins: it takes over what the server painted, and keeps it true.

import { render } from 'preact'
import { Announcer } from './announce'
import { App, titleOf, type Page } from './app'
import { Directory } from './directory'
import { listen } from './keys'
import type { Link, Served } from './model'
import { rendering } from './parts'
import { route, toCluster, toMedals, toScores } from './route'
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
  draw(manner)
  if (!contest) return
  const open = page.route.view === 'contest' ? page.route.id : ''
  if (contest.contest_id === open) page.timeline?.refresh(contest.revision)
  if (manner === 'live' && (!open || contest.contest_id === open)) announcer.contest(contest, before)
})

const link: Link = {
  phase: 'connecting', frontend: served.frontend, url: location.origin, home: directory.home, mode: served.frontends.mode, epoch: served.frontends.epoch,
  revision: served.revision, heard: Math.min(served.served_at, Date.now()), retryAt: 0, exhausted: false, behind: 0,
}

const page: Page = {
  store, directory, link, linkNow: () => page.link, route: route(location.hash), timeline: null, find: '', helping: false,
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
  if (was.phase === 'live' && l.phase !== 'live') {
    lost = true
    announcer.say('link', 'The connection is lost; connecting again.')
  }
  if (lost && l.phase === 'live') {
    lost = false
    announcer.say('link', 'Connected again.')
  }
  if (!isStale(was, Date.now()) && isStale(l, Date.now())) announcer.say('link', 'No frontend can be reached; the scores may be old.')
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
  }
  if (store.revision !== before) draw('live')
}

function message(m: Message) {
  switch (m.name) {
    case 'snapshot':
      return store.snapshot(m.data)
    case 'score':
      return store.score(m.data, m.manner)
    case 'medals':
      return store.table(m.data, m.manner)
    case 'timeline':
      return page.timeline?.add(m.data)
    case 'heartbeat':
      return heartbeat(m)
  }
}

function navigate() {
  page.route = route(location.hash)
  page.timeline?.close()
  page.timeline = null
  if (page.route.view === 'contest') {
    page.timeline = new Timeline(page.route.id, directory, () => page.link.frontend, () => draw('live'))
    page.timeline.refresh(store.scores.get(page.route.id)?.revision ?? 0, true)
  }
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

window.addEventListener('hashchange', () => {
  navigate()
  pending = 'resync'
  paint()
  window.scrollTo(0, 0)
  // Who opened a line with the keyboard goes on in what it opened.
  if (document.activeElement === document.body) document.getElementById('main')?.focus({ preventScroll: true })
})
document.addEventListener('visibilitychange', () => {
  if (document.hidden) return
  pending = 'resync'
  paint()
})
listen({ find, medals: () => go(toMedals('')), scores: () => go(toScores), cluster: () => go(toCluster), help: () => page.onHelp(true) })

store.served(served)
navigate()
root.textContent = ''
paint()

const stream = new Stream(link, directory, (m) => tabs.message(m), (l) => tabs.link(l))
stream.lastID = served.last_event_id ?? ''
const tabs = new Tabs(stream, { message, link: linked, all: (s) => store.snapshot(s), everything: () => store.all() })
tabs.start()
