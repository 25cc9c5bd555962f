import { useEffect, useState } from 'preact/hooks'
import type { Certified } from './certified'
import type { StreamStatus } from './model'
import { silenceMS } from './stream'
import { localTime } from './time'

/**
 * isStale reports whether no frontend can be reached or the stream has been silent for
 * too long.
 */
export const isStale = (l: StreamStatus, now: number) =>
  l.phase !== 'live' && l.heard > 0 && (l.exhausted || now - l.heard > silenceMS)

function describe(l: StreamStatus, now: number): [tone: string, text: string] {
  if (l.phase === 'live') return ['live', 'Live']
  const attempt =
    l.phase === 'waiting'
      ? `reconnecting in ${Math.max(0, Math.ceil((l.retryAt - now) / 1000))}\u00a0s`
      : `connecting${l.frontend ? ' to ' + l.frontend : ''}`
  if (isStale(l, now)) return ['stale', `Stale since ${localTime(l.heard)} \u00b7 ${attempt}`]
  return ['waiting', attempt.charAt(0).toUpperCase() + attempt.slice(1)]
}

function age(l: StreamStatus, now: number): string {
  if (!l.heard) return '\u2013'
  const s = (now - l.heard + l.behind) / 1000
  return s < 10
    ? s.toFixed(1) + '\u00a0s'
    : s < 120
      ? Math.round(s) + '\u00a0s'
      : Math.round(s / 60) + '\u00a0min'
}

/**
 * StatusBar shows how current the page is. It is no live region, because it changes every
 * second; the announcer covers important changes.
 */
export function StatusBar({
  status: currentStatus,
  revision,
  certified,
}: {
  status: () => StreamStatus
  revision: number
  certified: Certified | null
}) {
  const [now, tick] = useState(Date.now())
  useEffect(() => {
    const timer = setInterval(() => document.hidden || tick(Date.now()), 500)
    return () => clearInterval(timer)
  }, [])
  const status = currentStatus()
  const [tone, text] = describe(status, Math.max(now, status.heard))
  return (
    <footer class={'strip ' + tone} data-phase={tone}>
      <span class="phase">
        <span class="dot" aria-hidden="true" />
        {text}
      </span>
      <dl>
        <div>
          <dt>from</dt>
          <dd data-of="frontend">{status.frontend || '\u2013'}</dd>
        </div>
        <div>
          <dt>home</dt>
          <dd data-of="home">{status.home || '\u2013'}</dd>
        </div>
        <div>
          <dt>mode</dt>
          <dd data-of="mode">{status.mode || '\u2013'}</dd>
        </div>
        <div>
          <dt>age</dt>
          <dd data-of="age">{age(status, Math.max(now, status.heard))}</dd>
        </div>
        <div>
          <dt>rev</dt>
          <dd data-of="revision">{revision}</dd>
        </div>
        <div>
          <dt>epoch</dt>
          <dd data-of="epoch">{status.epoch || '\u2013'}</dd>
        </div>
        {certified && (
          <div>
            <dt>certificates</dt>
            <dd data-of="certificates">
              {certified.unable ? `not verified: ${certified.unable}` : certified.quorum || '\u2013'}
            </dd>
          </div>
        )}
      </dl>
    </footer>
  )
}
