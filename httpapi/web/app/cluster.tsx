import { useEffect, useRef, useState } from 'preact/hooks'
import type { Directory } from './directory'
import type { Frontend, Frontends } from './model'
import { distrust } from './notice'
import { Value } from './parts'
import { localTime } from './time'

const pollMS = 2_000

/** Events per second between two polls. */
function rate(before: { at: number; revision: number } | null, at: number, revision: number): string {
  if (!before || at <= before.at) return '\u2013'
  const perSecond = (Math.max(0, revision - before.revision) * 1000) / (at - before.at)
  return perSecond.toFixed(perSecond < 10 ? 1 : 0)
}

const highestRevision = (g: Frontends) => Math.max(0, ...g.frontends.map((f) => f.revision))

export function Cluster({ directory, frontend }: { directory: Directory; frontend: string }) {
  const [group, setGroup] = useState<Frontends>(directory.group)
  const [untrusted, setUntrusted] = useState<string[]>([])
  const [lastPoll, setLastPoll] = useState({ at: 0, failed: false, rate: '\u2013' })
  const before = useRef<{ at: number; revision: number } | null>(null)
  const serving = useRef(frontend)
  serving.current = frontend
  useEffect(() => {
    let over = false
    const poll = async () => {
      if (document.hidden) return
      try {
        const g = await directory.fetchJSON<Frontends>('/v1/frontends', serving.current)
        if (over) return
        directory.update(g)
        const at = Date.now()
        setLastPoll({ at, failed: false, rate: rate(before.current, at, highestRevision(g)) })
        before.current = { at, revision: highestRevision(g) }
        await directory.checkOthers()
        if (over) return
        setUntrusted(directory.untrusted())
        setGroup({ ...g, frontends: [...g.frontends].sort((a, b) => (a.id < b.id ? -1 : 1)) })
      } catch {
        if (!over) setLastPoll((s) => ({ ...s, failed: true }))
      }
    }
    void poll()
    const timer = setInterval(poll, pollMS)
    return () => {
      over = true
      clearInterval(timer)
    }
  }, [])
  return (
    <>
      <h1>Cluster</h1>
      <dl class="figures">
        <div>
          <dt>Mode</dt>
          <dd>
            <Value of={group.mode}>{group.mode || '\u2013'}</Value>
          </dd>
        </div>
        <div>
          <dt>Epoch</dt>
          <dd>
            <Value of={group.epoch}>{group.epoch}</Value>
          </dd>
        </div>
        <div>
          <dt>Master</dt>
          <dd>
            <Value of={group.master}>{group.master || 'none'}</Value>
          </dd>
        </div>
        <div>
          <dt>
            <abbr title="Frontends with a vote that may be lost while the group goes on">Stands the loss of</abbr>
          </dt>
          <dd>
            <Value of={group.failure_tolerance}>{group.failure_tolerance}</Value>
          </dd>
        </div>
        <div>
          <dt>Revision</dt>
          <dd>{highestRevision(group)}</dd>
        </div>
        <div>
          <dt>Events a second</dt>
          <dd>{lastPoll.rate}</dd>
        </div>
        <div>
          <dt>Watchers</dt>
          <dd>{group.frontends.reduce((n, f) => n + f.watchers, 0)}</dd>
        </div>
      </dl>
      {lastPoll.failed && (
        <p class="warning">
          No frontend answers; this is what was known{' '}
          {lastPoll.at ? 'at ' + localTime(lastPoll.at) : 'when the page was loaded'}.
        </p>
      )}
      {group.frontends.map(
        (f) =>
          f.put_out && (
            <p key={f.id} class="warning">
              {f.id} was put out at {localTime(Date.parse(f.put_out.since))}
              {frontend && ` by ${frontend}`}: it {f.put_out.text}
              {f.put_out.for_good && ', for good'}.
            </p>
          ),
      )}
      {untrusted.length > 0 && (
        <p class="warning">
          {distrust(untrusted)} Until then this page cannot move there when its own frontend fails.
        </p>
      )}
      <div class="card scroll" tabIndex={0} role="region" aria-label="Frontends">
        <table class="cluster">
          <caption>
            <h2>Frontends</h2> <span class="sub">
              as {frontend || 'a frontend'} sees them{versions(group)}
            </span>
          </caption>
          <thead>
            <tr>
              <th scope="col">Frontend</th>
              <th scope="col">Role</th>
              <th scope="col">State</th>
              <th scope="col" class="n">
                <abbr title="Pushed: its cache has every change up to this revision">P</abbr>
              </th>
              <th scope="col" class="n">
                <abbr title="Released: what its readers may see">R</abbr>
              </th>
              <th scope="col" class="n">
                Lease
              </th>
              <th scope="col" class="n">
                Revision
              </th>
              <th scope="col" class="n">
                <abbr title="Revisions behind the highest">Behind</abbr>
              </th>
              <th scope="col">Load</th>
            </tr>
          </thead>
          <tbody>
            {group.frontends.map((f) => (
              <Member key={f.id} f={f} group={group} />
            ))}
          </tbody>
        </table>
      </div>
      <p class="note">
        P is pushed: a frontend's cache has every change up to it. R is released: everybody may see it. R is
        never above P where there is a lease. Load is streams that are watched.
      </p>
    </>
  )
}

/** Says which versions of laurel the frontends run. */
function versions(group: Frontends) {
  const by = new Map<string, string[]>()
  for (const f of group.frontends)
    if (f.version) by.set(f.version, [...(by.get(f.version) ?? []), f.id])
  if (by.size === 0) return ''
  if (by.size === 1) return `, with laurel ${[...by.keys()][0]}`
  return `, with different versions: ${[...by].map(([v, ids]) => `${v} (${ids.join(', ')})`).join(', ')}`
}

function Member({ f, group }: { f: Frontend; group: Frontends }) {
  const unreachable = f.state === 'unreachable'
  const busiest = Math.max(1, ...group.frontends.map((m) => m.watchers))
  return (
    <tr class={unreachable ? 'gone' : undefined} data-row tabIndex={-1}>
      <th scope="row">{f.url ? <a href={f.url + '/'}>{f.id}</a> : f.id}</th>
      <td>{f.master ? <span class="badge official">MASTER</span> : f.voter ? 'voter' : 'non-voter'}</td>
      <td>
        <span class={f.put_out ? 'dot' : 'dot ' + f.state} aria-hidden="true" /> {f.state}
        {f.put_out && ', put out'}
        {!f.healthy && f.state === 'serving' && ', not healthy'}
      </td>
      <td class="n">{f.pushed || '\u2013'}</td>
      <td class="n">{f.released || '\u2013'}</td>
      <td class="n">{f.leased ? `${f.lease_ms} ms` : 'none'}</td>
      <td class="n">{unreachable ? '\u2013' : f.revision}</td>
      <td class="n">{unreachable ? '\u2013' : highestRevision(group) - f.revision}</td>
      <td class="load">
        <meter min={0} max={busiest} value={f.watchers} aria-label={`${f.watchers} watchers`} /> {f.watchers}
      </td>
    </tr>
  )
}
