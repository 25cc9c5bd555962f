// The types of Laurel's API, as far as the page reads them.

import type { Format } from './marks'

export interface Competitor {
  code: string
  name: string
  organisation: string
  /** In seconds if it is a time. */
  result: number | null
  mark2?: number
  irm?: string
  /** The IRM at another split. */
  out?: string
  /** The place among the sides of a head_to_head contest. */
  order?: number
  periods: Record<string, number>
  /** The points that are in no period. */
  adjustment?: number
  tiebreak: number
  stats: Record<string, number>
  rank?: number
  sort_order: number
}

export interface Contest extends Format {
  contest_id: string
  competition: string
  sport: string
  kind: string
  title: string
  discipline?: string
  event?: string
  phase?: string
  group?: string
  venue?: string
  /** The units of marks in events, if they are not those of the record. */
  event_unit?: string
  event_unit2?: string
  schedule_status: string
  result_status: string
  /** It has been RUNNING. */
  started?: boolean
  period: string
  /** The periods of a head_to_head contest that have begun, in order, and the tie-breaks apart. */
  periods?: string[]
  tiebreak_periods?: string[]
  clock: string
  start_time?: string
  split?: string
  competitors: Competitor[]
  total?: number
  winner: string
  /** How it was won, or why nobody has won. */
  decision?: string
  /** Another definition, after plays or marks, has changed the result. */
  corrected?: boolean
  revision: number
  updated_at: string
}

export interface MedalRow {
  organisation: string
  /** As a competition.define gives it. */
  name?: string
  gold: number
  silver: number
  bronze: number
  total: number
  rank?: number
  rank_equal: boolean
}

export interface Medals {
  competition: string
  name?: string
  rows: MedalRow[]
  outside: MedalRow[]
  revision?: number
}

export interface TimelineEvent {
  id: string
  source: string
  seq: number
  type: string
  time: string
  contest_id: string
  data: { [name: string]: any }
  revision: number
  /** The revisions of the event that this one voids, and of the one that voids this one. */
  voids?: number
  voided_by?: number
}

/** A row of a leaderboard. A competitor with an IRM has no mark, rank or difference. */
export interface BoardRow {
  competitor: string
  name?: string
  organisation?: string
  categories?: string[]
  mark: number | null
  mark2?: number
  irm?: string
  out?: string
  rank?: number
  rank_equal: boolean
  diff: number | null
}

/** The answer of GET /v1/leaderboard. */
export interface BoardPage {
  contest_id: string
  split: string
  category?: string
  total: number
  /** All categories of the leaderboard. */
  categories?: string[]
  rows: BoardRow[]
  next: string
}

/**
 * A window of a leaderboard in a stream: the order of its competitors and the rows that
 * are new or changed.
 */
export interface BoardEvent {
  contest_id: string
  split: string
  category?: string
  around?: string
  total: number
  revision: number
  order: string[]
  rows: BoardRow[]
}

export interface Frontend {
  id: string
  url: string
  peer?: string
  master: boolean
  voter: boolean
  state: string
  healthy: boolean
  leased: boolean
  watchers: number
  revision: number
  pushed: number
  released: number
  lease_ms: number
  /** Of laurel; none if it has not said so. */
  version?: string
  /** The frontend that was asked takes nothing that this one begins. */
  put_out?: PutOut
}

export interface PutOut {
  text: string
  since: string
  for_good: boolean
}

export interface Frontends {
  mode: string
  epoch: number
  master: string
  /** How many voters may be lost while the group goes on. */
  failure_tolerance: number
  frontends: Frontend[]
}

/** The numbers of contests. */
export interface Sections {
  live: number
  next: number
  finished: number
  /** In heartbeats: when they were counted. */
  revision?: number
}

/**
 * The last contests of sections of which a page has the beginning; null if it has not even
 * that.
 */
export interface Ends {
  next?: Contest | null
  finished?: Contest | null
}

/** A page of the answer of GET /v1/scores. */
export interface ScorePage {
  scores: Contest[]
  next: string
}

export interface Snapshot {
  revision: number
  /** Another part follows. The last one has the revision and the numbers of contests. */
  more?: boolean
  sections?: Sections
  /** Between tabs: see Store.ends. */
  ends?: Ends
  /** Names the course of the revisions: another store at the same address is not an older state of this one. */
  incarnation?: string
  /** The incarnations that the store had before: those of frontends without which it goes on. */
  former?: string[]
  scores?: Contest[]
  medals?: Medals[]
  leaderboards?: BoardEvent[]
}

export interface Heartbeat {
  revision: number
  epoch: number
  mode: string
  frontend: string
  incarnation?: string
  /** Missing while the frontend does not know them. */
  sections?: Sections
  /** In pull mode: how far behind the frontend may be, in milliseconds. */
  age_ms?: number
}

/** The data that the page was served with: web.Data. */
export interface Served {
  scores: Contest[] | null
  medals: Medals[] | null
  sections: Sections
  frontends: Frontends
  revision: number
  frontend: string
  incarnation?: string
  /** The page is that of a session, which can be ended. */
  signed_in?: boolean
  /**
   * The policy by which the page verifies what it shows. Such a page comes from no frontend:
   * laurel page has written it, with the frontends that it may ask.
   */
  policy?: string
  served_at: number
}

/**
 * The state of the stream. It is sent between tabs, so it is plain data. Times are
 * milliseconds since 1970.
 */
export interface StreamStatus {
  phase: 'connecting' | 'live' | 'waiting'
  /** The frontend that serves the stream or is being tried. */
  frontend: string
  url: string
  home: string
  mode: string
  epoch: number
  revision: number
  /** When the last message arrived; 0 for never. */
  heard: number
  /** While waiting: the time of the next attempt. */
  retryAt: number
  /** Every frontend has failed since the last message. */
  exhausted: boolean
  /** Frontends that serve, and whose certificates this browser does not trust. */
  untrusted: string[]
  /** Frontends that answer readers only. */
  needSignIn: string[]
  behind: number
  /** The query of the window that the stream carries; '' for none. */
  board: string
}
