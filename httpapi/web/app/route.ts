/**
 * The selected part of a leaderboard. '' stands for the contest's current split, all
 * categories, the top.
 */
export interface Selection {
  split: string
  category: string
  around: string
}

export const defaultSelection: Selection = { split: '', category: '', around: '' }

export type Route =
  | { view: 'scores' }
  | { view: 'contest'; id: string; selection: Selection }
  | { view: 'medals'; competition: string }
  | { view: 'cluster' }

/** The longest name that frontends accept. */
const maxName = 128

/** encoded returns an id for the path of an address. */
export const encoded = (id: string) => id.split('/').map(encodeURIComponent).join('/')

export const toScores = '#/'
export const toCluster = '#/cluster'
export const toMedals = (competition: string) => '#/medals' + (competition && '/' + encoded(competition))

/** query returns the parameters of a selection that differ from the default. */
export function query(s: Partial<Selection>): URLSearchParams {
  const q = new URLSearchParams()
  for (const name of ['split', 'category', 'around'] as const) if (s[name]) q.set(name, s[name])
  return q
}

export function toContest(id: string, selection: Partial<Selection> = defaultSelection): string {
  const q = query(selection)
  return '#/contest/' + encoded(id) + (q.size ? '?' + q : '')
}

export function route(hash: string): Route {
  const [path = '', search] = hash.replace(/^#\/?/, '').split(/\?(.*)/s)
  const [view, ...rest] = path.split('/')
  let id = rest.join('/')
  try {
    id = rest.map(decodeURIComponent).join('/')
  } catch {
    // a hand-made address with a stray % is used as it is
  }
  const q = new URLSearchParams(search)
  const part = (name: string) => (q.get(name) ?? '').normalize().slice(0, maxName)
  if (view === 'contest' && id)
    return {
      view,
      id,
      selection: { split: part('split'), category: part('category'), around: part('around') },
    }
  if (view === 'medals') return { view, competition: id }
  if (view === 'cluster') return { view }
  return { view: 'scores' }
}
