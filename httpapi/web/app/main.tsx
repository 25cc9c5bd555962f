// The entry point of the page: it takes over the page that the server rendered and keeps it up to date.

import { render } from 'preact'
import { Announcer } from './announce'
import { App, tablesOf, titleOf, type Page } from './app'
import { Certified, maxMarks } from './certified'
import { Directory, sharedName } from './directory'
import { listen } from './keys'
import { Leaderboard } from './leaderboard'
import { Lookup } from './lookup'
import type { BoardEvent, BoardRow, Served, Snapshot, StreamStatus } from './model'
import { rendering } from './parts'
import { route, toCluster, toMedals, toScores, type Route } from './route'
import { Store, type ChangeKind } from './store'
import { Stream, type Message } from './stream'
import { isStale } from './statusbar'
import { Tabs } from './tabs'
import { Timeline } from './timeline'

const served = JSON.parse(document.getElementById('served')!.textContent!) as Served
const root = document.getElementById('app')!
const announcer = new Announcer(document.getElementById('said')!)
const written = !!served.policy
const directory = new Directory(served.frontends, served.frontend, served.signed_in ?? false, written)

/** The pending render; if it includes a resync, nothing flashes. */
let pending: ChangeKind | null = null

function scheduleRender(kind: ChangeKind) {
  if (pending === null && !document.hidden) requestAnimationFrame(renderPage)
  pending = pending === 'resync' ? 'resync' : kind
}

function renderPage() {
  rendering.flash = pending === 'live'
  pending = null
  document.title = titleOf(page)
  page.certified?.show(certifiable())
  render(<App {...page} />, root)
}

/** certifiable lists the records on the screen that have a mark of certification. */
function certifiable(): string[] {
  const now = page.route
  if (now.view === 'contest') return ['scores/' + now.id]
  return tablesOf(page).slice(0, maxMarks).map((m) => 'medals/' + m.competition)
}

const store = new Store((kind, contest, before) => {
  openBoard()
  scheduleRender(kind)
  if (!contest) return
  const open = page.route.view === 'contest' ? page.route.id : ''
  if (contest.contest_id === open) {
    page.timeline?.refresh(contest.revision)
    page.board?.scheduleRefresh()
  }
  if (kind === 'live' && (!open || contest.contest_id === open)) announcer.contest(contest, before)
})

const lookup = new Lookup(
  directory,
  store,
  () => page.status.frontend,
  () => scheduleRender('resync'),
)

const status: StreamStatus = {
  phase: 'connecting',
  frontend: served.frontend,
  url: directory.urlOf(served.frontend),
  home: directory.home,
  mode: served.frontends.mode,
  epoch: served.frontends.epoch,
  revision: served.revision,
  heard: Math.min(served.served_at, Date.now()),
  retryAt: 0,
  exhausted: false,
  untrusted: [],
  needSignIn: [],
  behind: 0,
  board: '',
}

const page: Page = {
  store,
  directory,
  lookup,
  status,
  currentStatus: () => page.status,
  certified: served.policy
    ? new Certified(
        served.policy,
        directory,
        store,
        () => page.status.frontend,
        () => scheduleRender('live'),
        (frontend) => tabs.leave(frontend),
      )
    : null,
  signedIn: served.signed_in ?? false,
  signOutFailed: false,
  onSignOut() {
    tabs.signOut().catch(() => {
      page.signOutFailed = true
      scheduleRender('resync')
    })
  },
  route: route(location.hash),
  timeline: null,
  board: null,
  find: '',
  helping: false,
  onFind(s) {
    page.find = s
    lookup.find(s)
    scheduleRender('resync')
  },
  onHelp(open) {
    page.helping = open
    scheduleRender('resync')
  },
}

let lost = false

function onStatus(l: StreamStatus) {
  const was = page.status
  page.status = l
  if (page.board) page.board.streamed = l.board
  if (was.phase === 'live' && l.phase !== 'live') {
    lost = true
    announcer.say('link', 'Connection lost; reconnecting.')
  }
  if (lost && l.phase === 'live') {
    lost = false
    announcer.say('link', 'Reconnected.')
  }
  if (!isStale(was, Date.now()) && isStale(l, Date.now()))
    announcer.say('link', 'No frontend can be reached; the scores may be out of date.')
  if (l.phase === 'live' && was.phase !== 'live') page.board?.scheduleRefresh()
  if (l.phase !== was.phase || l.frontend !== was.frontend) scheduleRender('live')
}

let refreshedAt = served.revision

/**
 * The stream sends nothing for an event that changes no score, such as an alert, so a
 * heartbeat with a higher revision triggers a refresh.
 */
function heartbeat(m: Message) {
  const before = store.revision
  const counted = JSON.stringify(store.sections)
  store.heartbeat(m.data)
  if (m.data.revision > refreshedAt) {
    refreshedAt = m.data.revision
    page.timeline?.refresh(m.data.revision)
    page.board?.scheduleRefresh()
  }
  if (store.revision !== before || JSON.stringify(store.sections) !== counted) scheduleRender('live')
}

/** snapshot takes what a stream, or another tab, has. After it nothing is known of other records. */
function snapshot(s: Snapshot) {
  store.snapshot(s)
  if (s.more) return
  lookup.restart()
  openAddress(s)
}

function message(m: Message) {
  switch (m.name) {
    case 'snapshot':
      snapshot(m.data)
      for (const e of (m.data.leaderboards ?? []) as BoardEvent[]) page.board?.onEvent(e, 'resync')
      return
    case 'score':
      return store.score(m.data, m.kind)
    case 'removed':
      store.removed(m.data.contest_id, m.data.revision)
      if (m.data.contest_id === store.open) openAddress()
      return
    case 'medals':
      return store.table(m.data, m.kind)
    case 'timeline':
      return page.timeline?.add(m.data)
    case 'leaderboard':
      return page.board?.onEvent(m.data, m.kind)
    case 'heartbeat':
      return heartbeat(m)
  }
}

function navigate() {
  const before = page.route
  page.route = route(location.hash)
  const now = page.route
  if (now.view === 'contest' && sameContest(before, now) && page.timeline)
    return page.board?.show(now.selection)
  page.timeline?.close()
  page.board?.close()
  page.timeline = page.board = null
  processedRevision = 0
  openAddress()
  if (now.view !== 'contest') return
  const timeline = new Timeline(
    now.id,
    directory,
    () => page.status.frontend,
    () => onTimeline(timeline),
  )
  page.timeline = timeline
  timeline.refresh(store.scores.get(now.id)?.revision ?? 0, true)
  openBoard()
}

/**
 * openAddress asks for what the address names, unless the page has it from the stream. After
 * a snapshot without it, its changes may have been missed.
 */
function openAddress(snapshot?: Snapshot) {
  const now = page.route
  store.open = now.view === 'contest' ? now.id : ''
  const table = now.view === 'medals' ? now.competition : ''
  const known = snapshot
    ? snapshot.scores?.some((c) => c.contest_id === store.open)
    : store.scores.has(store.open) || store.medals.has(table)
  if (table) lookup.openMedals(known || store.medals.has(table) ? '' : table)
  else lookup.open(known ? '' : store.open)
}

/** openBoard opens the leaderboard of the open contest, once the contest is known to be ranked. */
function openBoard() {
  const now = page.route
  if (now.view !== 'contest' || !page.timeline || page.board || store.scores.get(now.id)?.kind !== 'ranked')
    return
  page.board = new Leaderboard(
    now.id,
    directory,
    () => page.status.frontend,
    (board) => tabs.watch(board),
    onBoard,
  )
  page.board.streamed = page.status.board
  page.board.show(now.selection)
}

/** onBoard renders a changed board and announces a new rank of the followed competitor. */
function onBoard(kind: ChangeKind, followed?: BoardRow) {
  if (followed)
    announcer.say(
      'followed',
      `${followed.name || followed.competitor}: ${followed.rank ? 'rank ' + followed.rank : followed.irm}.`,
    )
  scheduleRender(kind)
}

/** The last revision of the timeline that was searched for corrections and marks. */
let processedRevision = 0

function onTimeline(t: Timeline) {
  if (t !== page.timeline) return
  const begins = processedRevision === 0
  const fresh = t.events.filter((e) => e.revision > processedRevision)
  processedRevision = t.events.at(-1)?.revision ?? 0
  page.board?.learnMarks(
    fresh
      .filter((e) => e.type === 'result.set' && !e.voided_by)
      .map((e) => e.data as { split: string; category?: string }),
  )
  store.corrected.timeline(t.contestID, t.corrections)
  const why = fresh.map((e) => t.corrections.correcting.get(e.revision)).findLast((w) => w !== undefined)
  if (!begins && why !== undefined) announcer.say('corrected', `Corrected: ${why}.`)
  scheduleRender('live')
}

const go = (hash: string) => (location.hash = hash)

function find() {
  if (page.route.view !== 'scores') {
    go(toScores)
    navigate()
  }
  renderPage()
  document.getElementById('find')?.focus()
}

const sameContest = (was: Route, now: Route) =>
  was.view === 'contest' && now.view === 'contest' && was.id === now.id

window.addEventListener('hashchange', () => {
  const was = page.route
  navigate()
  pending = 'resync'
  renderPage()
  if (sameContest(was, page.route)) return
  window.scrollTo(0, 0)
  // A line that was opened with the keyboard moves the focus to what it opened.
  if (document.activeElement === document.body)
    document.getElementById('main')?.focus({ preventScroll: true })
})
document.addEventListener('visibilitychange', () => {
  if (document.hidden) return
  page.board?.scheduleRefresh()
  page.certified?.wake()
  pending = 'resync'
  renderPage()
})
listen({
  find,
  bib: () => document.getElementById('bib')?.focus(),
  medals: () => go(toMedals('')),
  scores: () => go(toScores),
  cluster: () => go(toCluster),
  help: () => page.onHelp(true),
})

const stream = new Stream(
  status,
  directory,
  (m) => tabs.message(m),
  (l) => tabs.status(l),
)
const tabs = new Tabs(stream, {
  message,
  status: onStatus,
  snapshot,
  all: () => store.all(),
}, sharedName(written))

store.served(served)
navigate()
root.textContent = ''
renderPage()
tabs.start()
