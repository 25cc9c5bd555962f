import { useEffect, useState } from 'preact/hooks'
import { hereOf } from './format'
import type { Link } from './model'
import { silentMS } from './stream'

/** Stale: nobody could be reached, or nothing was heard for longer than a heartbeat may take. */
export const isStale = (l: Link, now: number) => l.phase !== 'live' && l.heard > 0 && (l.exhausted || now - l.heard > silentMS)

function says(l: Link, now: number): [tone: string, text: string] {
  if (l.phase === 'live') return ['live', 'Live']
  const again = l.phase === 'waiting' ? `reconnecting in ${Math.max(0, Math.ceil((l.retryAt - now) / 1000))}\u00a0s` : `connecting${l.frontend ? ' to ' + l.frontend : ''}`
  if (isStale(l, now)) return ['stale', `Stale since ${hereOf(l.heard)} \u00b7 ${again}`]
  return ['waiting', again.charAt(0).toUpperCase() + again.slice(1)]
}

function age(l: Link, now: number): string {
  if (!l.heard) return '\u2013'
  const s = (now - l.heard + l.behind) / 1000
  return s < 10 ? s.toFixed(1) + '\u00a0s' : s < 120 ? Math.round(s) + '\u00a0s' : Math.round(s / 60) + '\u00a0min'
}

/** Strip tells how far the page can be trusted. It is not a live region: it changes every second; what matters of it the page says there. */
export function Strip({ link: linkNow, revision }: { link: () => Link; revision: number }) {
  const [now, tick] = useState(Date.now())
  useEffect(() => {
    const timer = setInterval(() => document.hidden || tick(Date.now()), 500)
    return () => clearInterval(timer)
  }, [])
  const link = linkNow()
  const [tone, text] = says(link, Math.max(now, link.heard))
  return (
    <footer class={'strip ' + tone} data-phase={tone}>
      <span class="phase"><span class="dot" aria-hidden="true" />{text}</span>
      <dl>
        <div><dt>from</dt><dd data-of="frontend">{link.frontend || '\u2013'}</dd></div>
        <div><dt>home</dt><dd data-of="home">{link.home || '\u2013'}</dd></div>
        <div><dt>mode</dt><dd data-of="mode">{link.mode || '\u2013'}</dd></div>
        <div><dt>age</dt><dd data-of="age">{age(link, Math.max(now, link.heard))}</dd></div>
        <div><dt>rev</dt><dd data-of="revision">{revision}</dd></div>
        <div><dt>epoch</dt><dd data-of="epoch">{link.epoch || '\u2013'}</dd></div>
      </dl>
    </footer>
  )
}
