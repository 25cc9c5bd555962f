// Merkle trees of RFC 6962, as package trust/merkle has them. Hashes are kept in base64, which has one spelling.

/** The forms of what is verified, as parts of regular expressions: a number, a hash, any bytes. */
export const numberForm = '(0|[1-9][0-9]{0,15})'
export const hashForm = '([A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=)'
export const bytesForm = '((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?)'

export type Bytes = Uint8Array<ArrayBuffer>

export const utf8 = (s: string): Bytes => new TextEncoder().encode(s)

/** decode returns the bytes of a text that has the form bytesForm. */
export const decode = (s: string): Bytes => Uint8Array.from(atob(s), (c) => c.charCodeAt(0))

export const encode = (b: Bytes): string => btoa([...b].map((n) => String.fromCharCode(n)).join(''))

export function concat(...parts: Bytes[]): Bytes {
  const all = new Uint8Array(parts.reduce((n, p) => n + p.length, 0))
  let at = 0
  for (const p of parts) {
    all.set(p, at)
    at += p.length
  }
  return all
}

export const sha256 = async (...parts: Bytes[]): Promise<Bytes> =>
  new Uint8Array(await crypto.subtle.digest('SHA-256', concat(...parts)))

export const leafHash = (...leaf: Bytes[]): Promise<Bytes> => sha256(Uint8Array.of(0), ...leaf)

const nodeHash = (left: Bytes, right: Bytes): Promise<Bytes> => sha256(Uint8Array.of(1), left, right)

/**
 * rootFrom returns the root of the tree of size leaves in which the leaf with the index has
 * the audit path; '' if there is no such tree.
 */
export async function rootFrom(leaf: Bytes, index: number, size: number, path: string[]): Promise<string> {
  if (index >= size) return ''
  const half = (n: number) => Math.floor(n / 2)
  let root = leaf
  let last = size - 1
  for (const hash of path) {
    if (last === 0) return ''
    const beside = decode(hash)
    if (index % 2 === 1) root = await nodeHash(beside, root)
    else if (index < last) root = await nodeHash(root, beside)
    else {
      // It has no sibling on these levels.
      for (; index % 2 === 0; last = half(last)) index = half(index)
      root = await nodeHash(beside, root)
    }
    index = half(index)
    last = half(last)
  }
  return last === 0 ? encode(root) : ''
}
