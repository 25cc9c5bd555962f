/** What of a ranked contest's board is looked at. '' is the split that the contest shows, all categories, the top. */
export interface Sight {
  split: string
  category: string
  around: string
}

export const topSight: Sight = { split: '', category: '', around: '' }

export type Route = { view: 'scores' } | { view: 'contest'; id: string; sight: Sight } | { view: 'medals'; competition: string } | { view: 'cluster' }

/** Nothing has a longer name, and no frontend takes one. */
const mostPart = 128

const encoded = (id: string) => id.split('/').map(encodeURIComponent).join('/')

export const toScores = '#/'
export const toCluster = '#/cluster'
export const toMedals = (competition: string) => '#/medals' + (competition && '/' + encoded(competition))

/** Query is the part of a sight that is not what everybody sees first. */
export function query(s: Partial<Sight>): URLSearchParams {
  const q = new URLSearchParams()
  for (const name of ['split', 'category', 'around'] as const) if (s[name]) q.set(name, s[name])
  return q
}

export function toContest(id: string, sight: Partial<Sight> = topSight): string {
  const q = query(sight)
  return '#/contest/' + encoded(id) + (q.size ? '?' + q : '')
}

export function route(hash: string): Route {
  const [path = '', search] = hash.replace(/^#\/?/, '').split(/\?(.*)/s)
  const [view, ...rest] = path.split('/')
  let id = rest.join('/')
  try {
    id = rest.map(decodeURIComponent).join('/')
  } catch {
    // A hand-made address with a stray % is taken as it stands.
  }
  const q = new URLSearchParams(search)
  const part = (name: string) => (q.get(name) ?? '').slice(0, mostPart)
  if (view === 'contest' && id) return { view, id, sight: { split: part('split'), category: part('category'), around: part('around') } }
  if (view === 'medals') return { view, competition: id }
  if (view === 'cluster') return { view }
  return { view: 'scores' }
}
