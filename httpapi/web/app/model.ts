// The shapes of Laurel's interface, as the page reads them.

export interface Placed {
  code: string
  name: string
  organisation: string
  result: number | null
  irm?: string
  periods: Record<string, number>
  tiebreak: number
  stats: Record<string, number>
  rank?: number
  sort_order: number
}

export interface Contest {
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
  result_type?: string
  unit?: string
  schedule_status: string
  result_status: string
  period: string
  clock: string
  start_time?: string
  split?: string
  competitors: Placed[]
  total?: number
  winner: string
  revision: number
  updated_at: string
}

export interface MedalRow {
  organisation: string
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
  voided_by?: string
}

/** A competitor's place on a board. Who has an IRM has no mark, no rank and no difference. */
export interface BoardRow {
  competitor: string
  name?: string
  organisation?: string
  category?: string
  mark: number | null
  irm?: string
  rank?: number
  rank_equal: boolean
  diff: number | null
}

/** A part of a ranked contest's board, as it is asked for. */
export interface BoardPage {
  contest_id: string
  split: string
  category?: string
  total: number
  rows: BoardRow[]
  next: string
}

/** The window of a board that a stream carries: who is in it, and of those the ones that the stream has not told of yet. */
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
  leased: boolean
  watchers: number
  revision: number
  pushed: number
  released: number
  lease_ms: number
}

export interface Frontends {
  mode: string
  epoch: number
  master: string
  frontends: Frontend[]
}

export interface Snapshot {
  revision: number
  /** Names the store, so that another one at the same address is not taken for an older state of this one. */
  store?: string
  scores?: Contest[]
  medals?: Medals[]
  leaderboards?: BoardEvent[]
}

export interface Heartbeat {
  revision: number
  epoch: number
  mode: string
  frontend: string
  store?: string
  /** In pull mode: how far behind the frontend may be, in milliseconds. */
  age_ms?: number
}

/** What the page was served with: web.Data. */
export interface Served {
  scores: Contest[] | null
  medals: Medals[] | null
  frontends: Frontends
  revision: number
  frontend: string
  store?: string
  last_event_id?: string
  served_at: number
}

/** Where the stream stands. It travels between tabs, so it is plain data; times are milliseconds since 1970. */
export interface Link {
  phase: 'connecting' | 'live' | 'waiting'
  /** The frontend that serves, or is being tried. */
  frontend: string
  url: string
  home: string
  mode: string
  epoch: number
  revision: number
  /** When anything was heard last; 0: never. */
  heard: number
  /** While waiting: when the next attempt is. */
  retryAt: number
  /** Nothing could be reached: every frontend was tried since anything was heard. */
  exhausted: boolean
  behind: number
  /** The board that the stream carries beside the rest, as its question; '': none. */
  board: string
}
