import type { Certified } from './certified'
import { servedAt, type Directory } from './directory'
import type { StreamStatus } from './model'
import { isStale } from './statusbar'

/** names lists ids in a sentence. */
const names = (ids: string[]) =>
  ids.length < 2 ? ids.join() : `${ids.slice(0, -1).join(', ')} and ${ids.at(-1)}`

/** distrust lists what a user can do about frontends that this browser does not trust. */
export const distrust = (ids: string[]) =>
  `This browser cannot use ${names(ids)}, although the group says that ${ids.length < 2 ? 'it serves' : 'they serve'}: ` +
  `it probably does not trust ${ids.length < 2 ? 'its certificate' : 'their certificates'}. ` +
  'An operator mends that with certificates that browsers trust: laurel frontend --tls-cert and --tls-key.'

/** Doubts says which frontends gave what cannot be believed. */
export function Doubts({ certified }: { certified: Certified }) {
  const warnings = certified.warnings()
  if (!warnings.length && !certified.fork.length) return null
  return (
    <div class="notices">
      {warnings.map((text) => (
        <p key={text} class="warning" role="alert">
          {text}
        </p>
      ))}
      {certified.fork.length > 0 && (
        <details class="warning">
          <summary>Several frontends are corrupt. These two certificates prove it:</summary>
          {certified.fork.map((note) => (
            <pre key={note}>{note}</pre>
          ))}
        </details>
      )}
    </div>
  )
}

/** Notice tells the user of a page without a stream what can be done about that. */
export function Notice({ status, directory }: { status: StreamStatus; directory: Directory }) {
  if (status.phase === 'live') return null
  const here = status.needSignIn.some((id) => directory.urlOf(id) === servedAt)
  const elsewhere = status.needSignIn.filter((id) => directory.urlOf(id) !== servedAt)
  return (
    <div class="notices">
      {here && (
        <p class="warning">
          The scores are private, and this page may not read them now.{' '}
          <button type="button" onClick={() => location.reload()}>
            Sign in
          </button>
        </p>
      )}
      {!here && elsewhere.length > 0 && (
        <p class="warning">
          The scores are private. To see them at another frontend, sign in at{' '}
          {elsewhere.map((id, i) => (
            <>
              {i > 0 && ' or '}
              <a href={directory.urlOf(id) + '/' + location.hash}>{id}</a>
            </>
          ))}
          .
        </p>
      )}
      {status.untrusted.length > 0 && isStale(status, Date.now()) && (
        <p class="warning">
          {distrust(status.untrusted)} Meanwhile this page keeps trying the frontend that it came from.
        </p>
      )}
    </div>
  )
}
