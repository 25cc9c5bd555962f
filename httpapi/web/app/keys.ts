const offKey = 'laurel.keys'

export const keysEnabled = () => {
  try {
    return localStorage.getItem(offKey) !== 'off'
  } catch {
    return true
  }
}

/**
 * setKeysEnabled turns single-key shortcuts off, which interfere with speech input, or on
 * again.
 */
export function setKeysEnabled(on: boolean) {
  try {
    localStorage.setItem(offKey, on ? 'on' : 'off')
  } catch {
    // storage is disabled: the keys stay on
  }
}

export interface Actions {
  find(): void
  bib(): void
  medals(): void
  scores(): void
  cluster(): void
  help(): void
}

function step(by: number) {
  const rows = [...document.querySelectorAll<HTMLElement>('[data-row]')].filter((e) => e.offsetParent)
  if (!rows.length) return
  const at = rows.indexOf(document.activeElement as HTMLElement)
  const row = rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + by))]!
  row.focus()
  row.scrollIntoView({ block: 'nearest' })
}

export function listen(actions: Actions) {
  document.addEventListener('keydown', (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.defaultPrevented) return
    const at = e.target as HTMLElement
    if (at.matches('input, textarea, select')) {
      if (e.key === 'Escape') at.blur()
      return
    }
    if (!keysEnabled() || document.querySelector('dialog[open]')) return
    const acts: Record<string, () => void> = {
      '/': actions.find,
      b: actions.bib,
      j: () => step(1),
      k: () => step(-1),
      m: actions.medals,
      s: actions.scores,
      c: actions.cluster,
      '?': actions.help,
    }
    const act = acts[e.key]
    if (!act) return
    e.preventDefault()
    act()
  })
}
