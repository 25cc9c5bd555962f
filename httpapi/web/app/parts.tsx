import type { ComponentChildren } from 'preact'
import { useRef } from 'preact/hooks'
import type { Mark } from './certified'
import { decisionWord, headlineParts, isLive, resultWord, statusWord } from './format'
import type { Contest } from './model'
import { isolated, plain } from './text'
import { moment } from './time'

/** flash is set while a render shows only live changes: a resync must not flash. */
export const rendering = { flash: false }

/**
 * Value shows a value and flashes once when it changes. Alternating two names of one
 * animation restarts it.
 */
export function Value({
  of,
  children,
  class: name = '',
}: {
  of: unknown
  children: ComponentChildren
  class?: string
}) {
  const seen = useRef(of)
  const flashes = useRef(0)
  if (seen.current !== of) {
    seen.current = of
    flashes.current = rendering.flash ? flashes.current + 1 : 0
  }
  const flash = flashes.current ? (flashes.current % 2 ? ' flash-a' : ' flash-b') : ''
  return (
    <span class={'value ' + name + flash} onAnimationEnd={clearFlash}>
      {children}
    </span>
  )
}

/** clearFlash removes the class, because a line that moves would flash again. */
export const clearFlash = (e: AnimationEvent) =>
  (e.currentTarget as HTMLElement).classList.remove('flash-a', 'flash-b')

/** Isolated shows a text of a bard, whose direction has no effect on what stands beside it. */
export const Isolated = ({ text }: { text: string | undefined }) => <bdi>{plain(text ?? '')}</bdi>

export const Headline = ({ contest }: { contest: Contest }) => (
  <>
    {headlineParts(contest).map((text, i) => (
      <>
        {i > 0 && ' \u2013 '}
        <Isolated text={text} />
      </>
    ))}
  </>
)

/** Clock shows the time of day with its zone, of the timestamp or of another one. */
export function Clock({ time, like }: { time: string; like?: string }) {
  const { clock, zone } = moment(time, like)
  return (
    <>
      {clock} <span class="zone">{zone}</span>
    </>
  )
}

/** CorrectedBadge marks a correction, with the reason if it is known. */
export const CorrectedBadge = ({ why }: { why?: string }) => (
  <span class="badge corrected" title={why || undefined}>
    CORRECTED
  </span>
)

export function Badges({ contest: c, corrected }: { contest: Contest; corrected?: boolean }) {
  const word = resultWord(c)
  return (
    <>
      {word && <span class={'badge ' + word.toLowerCase()}>{word.replace(/_/g, ' ')}</span>}
      {(corrected || c.corrected) && <CorrectedBadge />}
    </>
  )
}

export function State({ contest: c }: { contest: Contest }) {
  const at = isLive(c) && [c.period, c.clock].filter(Boolean).map(isolated).join(' ')
  return (
    <>
      <span class={isLive(c) ? 'state live' : 'state'}>{statusWord(c)}</span>
      {at && (
        <Value of={at} class="at">
          {at}
        </Value>
      )}
      {c.decision && <span class="at decision"> {decisionWord(c.decision)}</span>}
    </>
  )
}

/**
 * CertifiedMark is the mark of what is certified, without the part of the page that never
 * is. Only a warning is read out by itself.
 */
export const CertifiedMark = ({ mark, without }: { mark: Mark; without?: string }) => (
  <p class={'certified ' + mark.tone} role={mark.tone === 'warning' ? 'alert' : undefined}>
    {mark.tone === 'certified' && <span aria-hidden="true">{'\u2713'} </span>}
    {mark.text}
    {mark.tone === 'certified' && without && `, but not the ${without}`}
  </p>
)

/** HiddenHeader is a table header for screen readers only. */
export function HiddenHeader({ of }: { of: string[] }) {
  return (
    <thead class="bare">
      <tr>
        {of.map((name) => (
          <th key={name} scope="col">
            <span class="hidden">{name}</span>
          </th>
        ))}
      </tr>
    </thead>
  )
}

/** Sprig is the icon of the page and of winners. */
export function Sprig({ label }: { label?: string }) {
  return (
    <svg
      class="sprig"
      viewBox="0 0 24 24"
      width="18"
      height="18"
      role={label ? 'img' : undefined}
      aria-label={label}
      aria-hidden={label ? undefined : 'true'}
    >
      <path
        d="M3 21C9 18 15 12 20 4"
        fill="none"
        stroke="currentColor"
        stroke-width="1.5"
        stroke-linecap="round"
      />
      {[
        'M8 17c-4 1-5-2-5-5 3 0 6 2 5 5z',
        'M12.500 13c-4 .5-5-3-4.500-6 3 .5 5.500 3 4.500 6z',
        'M10 16.500c1 3.500 4.500 3.500 7 2-1.500-2.500-4.500-4-7-2z',
        'M14.500 11.500c2 3 5 2.500 7 .5-2-2-5-2.500-7-.5z',
        'M16.500 8.500c-3-1-3-4-1.500-6.500 2 1.500 3 4 1.500 6.500z',
      ].map((d) => (
        <path key={d} d={d} fill="currentColor" />
      ))}
    </svg>
  )
}
