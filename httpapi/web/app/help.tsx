import { useEffect, useRef, useState } from 'preact/hooks'
import { keysOn, switchKeys } from './keys'

const keys: [string, string][] = [
  ['/', 'find a contest'], ['b', 'find on a board'], ['j', 'next line'], ['k', 'line before'], ['Enter', 'open the line'], ['m', 'medals'], ['s', 'scores'], ['c', 'cluster'], ['?', 'this help'],
]

export function Help({ open, close }: { open: boolean; close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null)
  const [on, setOn] = useState(keysOn())
  useEffect(() => {
    if (open) dialog.current?.showModal()
    else dialog.current?.close()
  }, [open])
  return (
    <dialog ref={dialog} onClose={close} aria-labelledby="help-title">
      <h2 id="help-title">Keys</h2>
      <dl class="keys">{keys.map(([key, what]) => <div key={key}><dt><kbd>{key}</kbd></dt><dd>{what}</dd></div>)}</dl>
      <label>
        <input type="checkbox" checked={on} onChange={(e) => { switchKeys(e.currentTarget.checked); setOn(e.currentTarget.checked) }} /> Single keys do something
      </label>
      <h2>Words</h2>
      <p>UNOFFICIAL may still change; OFFICIAL is final; CORRECTED tells that something reported did not stand, or was set right with a reason: the timeline shows what.</p>
      <form method="dialog"><button>Close</button></form>
    </dialog>
  )
}
