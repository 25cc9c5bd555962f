export type Route = { view: 'scores' } | { view: 'contest'; id: string } | { view: 'medals'; competition: string } | { view: 'cluster' }

const encoded = (id: string) => id.split('/').map(encodeURIComponent).join('/')

export const toScores = '#/'
export const toCluster = '#/cluster'
export const toContest = (id: string) => '#/contest/' + encoded(id)
export const toMedals = (competition: string) => '#/medals' + (competition && '/' + encoded(competition))

export function route(hash: string): Route {
  const [view, ...rest] = hash.replace(/^#\/?/, '').split('/')
  let id = rest.join('/')
  try {
    id = rest.map(decodeURIComponent).join('/')
  } catch {
    // A hand-made address with a stray % is taken as it stands.
  }
  if (view === 'contest' && id) return { view, id }
  if (view === 'medals') return { view, competition: id }
  if (view === 'cluster') return { view }
  return { view: 'scores' }
}
