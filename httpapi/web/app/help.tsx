import { useEffect, useRef, useState } from 'preact/hooks'
import { keysEnabled, setKeysEnabled } from './keys'

const keys: [string, string][] = [
  ['/', 'find a contest'],
  ['b', 'find on a board'],
  ['j', 'next line'],
  ['k', 'previous line'],
  ['Enter', 'open the line'],
  ['m', 'medals'],
  ['s', 'scores'],
  ['c', 'cluster'],
  ['?', 'this help'],
]

export function Help({ open, close }: { open: boolean; close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null)
  const [on, setOn] = useState(keysEnabled())
  useEffect(() => {
    if (open) dialog.current?.showModal()
    else dialog.current?.close()
  }, [open])
  return (
    <dialog ref={dialog} onClose={close} aria-labelledby="help-title">
      <h2 id="help-title">Keys</h2>
      <dl class="keys">
        {keys.map(([key, meaning]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{meaning}</dd>
          </div>
        ))}
      </dl>
      <label>
        <input
          type="checkbox"
          checked={on}
          onChange={(e) => {
            setKeysEnabled(e.currentTarget.checked)
            setOn(e.currentTarget.checked)
          }}
        />{' '}
        Enable single-key shortcuts
      </label>
      <h2>Words</h2>
      <p>
        UNOFFICIAL may still change; OFFICIAL is final; CORRECTED marks a report that was voided, revoked or
        set again with a reason; the timeline shows which.
      </p>
      <form method="dialog">
        <button>Close</button>
      </form>
    </dialog>
  )
}
