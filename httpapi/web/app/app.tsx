import type { Directory } from './directory'
import type { Certified } from './certified'
import { Cluster } from './cluster'
import { ContestView } from './contest'
import { headline } from './format'
import { Help } from './help'
import type { Leaderboard } from './leaderboard'
import type { Lookup } from './lookup'
import { MedalTable, type Names } from './medals'
import type { StreamStatus, Medals } from './model'
import { Doubts, Notice } from './notice'
import { Sprig } from './parts'
import { toCluster, toMedals, toScores, type Route } from './route'
import { Scores } from './scores'
import type { Store } from './store'
import { StatusBar } from './statusbar'
import type { Timeline } from './timeline'

export interface Page {
  store: Store
  directory: Directory
  lookup: Lookup
  status: StreamStatus
  currentStatus(): StreamStatus
  /** Verifies what is shown, if the page has a policy. */
  certified: Certified | null
  signedIn: boolean
  signOutFailed: boolean
  onSignOut(): void
  route: Route
  timeline: Timeline | null
  /** The leaderboard of the open contest, if it is ranked. */
  board: Leaderboard | null
  find: string
  helping: boolean
  onFind(s: string): void
  onHelp(open: boolean): void
}

/** Names of organisations by competition, taken from teams whose code is the organisation's. */
function organisations(store: Store): Names {
  const names: Names = new Map()
  for (const c of store.scores.values()) {
    for (const p of c.competitors)
      if (p.name && p.name !== p.code && p.code === p.organisation) {
        const own = names.get(c.competition) ?? new Map<string, string>()
        names.set(c.competition, own.set(p.code, p.name))
      }
  }
  return names
}

const latestFirst = (store: Store): Medals[] =>
  [...store.medals.values()].sort((a, b) => b.revision! - a.revision!)

/** tablesOf returns the medal tables of the page for medals; none on another page. */
export const tablesOf = ({ route, store }: Page): Medals[] =>
  route.view === 'medals'
    ? latestFirst(store).filter((m) => !route.competition || m.competition === route.competition)
    : []

export function titleOf(p: Page): string {
  const contest = p.route.view === 'contest' && p.store.scores.get(p.route.id)
  const name = contest
    ? headline(contest)
    : p.route.view === 'medals'
      ? 'Medals'
      : p.route.view === 'cluster'
        ? 'Cluster'
        : 'Live scores'
  return `${name} \u2013 Laurel`
}

function View(p: Page) {
  const names = organisations(p.store)
  const route = p.route
  switch (route.view) {
    case 'contest': {
      const contest = p.store.scores.get(route.id)
      if (contest && p.timeline)
        return (
          <ContestView
            key={route.id}
            contest={contest}
            timeline={p.timeline}
            board={p.board}
            mark={p.certified?.mark('scores/' + route.id)}
          />
        )
      if (!p.lookup.missing)
        return (
          <>
            <h1 class="hidden">{route.id}</h1>
            <p class="empty">Asking for {route.id} …</p>
          </>
        )
      return (
        <>
          <h1>No such contest</h1>
          <p class="empty">There is no contest {route.id}. If it is announced, it appears here.</p>
        </>
      )
    }
    case 'medals': {
      const tables = tablesOf(p)
      return (
        <>
          <h1>Medals</h1>
          <div class="narrow">
            {tables.map((m) => (
              <MedalTable
                key={m.competition}
                medals={m}
                names={names}
                corrected={p.store.corrected.organisations(m.competition)}
                mark={p.certified?.mark('medals/' + m.competition)}
              />
            ))}
          </div>
          {!tables.length && (
            <p class="empty">
              {!route.competition || p.lookup.missing ? 'There is no medal table yet.' : 'Asking for the medal table \u2026'}
            </p>
          )}
        </>
      )
    }
    case 'cluster':
      return <Cluster directory={p.directory} frontend={p.status.frontend} />
  }
  return (
    <>
      <h1 class="hidden">Live scores</h1>
      <Scores
        store={p.store}
        lookup={p.lookup}
        medals={latestFirst(p.store)}
        corrected={p.store.corrected}
        names={names}
        find={p.find}
        onFind={p.onFind}
      />
    </>
  )
}

export function App(p: Page) {
  const view = p.route.view
  const current = (is: boolean) => (is ? 'page' : undefined)
  return (
    <>
      <a
        class="skip"
        href="#main"
        onClick={(e) => {
          e.preventDefault()
          document.getElementById('main')?.focus()
        }}
      >
        To the scores
      </a>
      <header>
        <a class="brand" href={toScores}>
          <Sprig /> Laurel
        </a>
        <nav aria-label="Laurel">
          <a href={toScores} aria-current={current(view === 'scores' || view === 'contest')}>
            Scores
          </a>
          <a href={toMedals('')} aria-current={current(view === 'medals')}>
            Medals
          </a>
          <a href={toCluster} aria-current={current(view === 'cluster')}>
            Cluster
          </a>
        </nav>
        {p.signedIn && (
          <form
            method="post"
            onSubmit={(e) => {
              e.preventDefault()
              p.onSignOut()
            }}
          >
            <button name="sign_out" value="yes">
              Sign out
            </button>
          </form>
        )}
        <button type="button" class="help" aria-label="Help" onClick={() => p.onHelp(true)}>
          ?
        </button>
      </header>
      {p.signOutFailed && (
        <div class="notices">
          <p class="warning" role="alert">
            Signing out has failed, and this browser can still read the scores. Try again.
          </p>
        </div>
      )}
      <Notice status={p.status} directory={p.directory} />
      {p.certified && <Doubts certified={p.certified} />}
      <main id="main" tabIndex={-1}>
        <View {...p} />
      </main>
      <StatusBar status={p.currentStatus} revision={p.store.revision} certified={p.certified} />
      <Help open={p.helping} close={() => p.onHelp(false)} />
    </>
  )
}
