// Verifies what a frontend says of an answer, as witness.Reader does: see docs/agreement.md.

import { bytesForm, concat, decode, encode, hashForm, leafHash, numberForm, rootFrom, sha256, utf8 } from './merkle'
import { cosignatureType, malformed, Refused, type Policy, type Signer } from './policy'

const maxProofSize = 64 << 10
const maxNoteSize = 8 << 10
const maxSignatures = 100
const maxPath = 64
/** How old, or how much of the future, a certificate may be. */
const maxAgeMS = 5_000

interface Leaf {
  index: number
  body: string
  key: string
  path: string[]
}

interface Proof {
  /** The text of the round, and what of it is needed. */
  text: string
  round: number
  answers: number
  root: string
  path: string[]
  note: string
  leaves: Leaf[]
}

/** What a reader remembers of the newest certificate that it has accepted. */
interface Seen {
  size: number
  root: string
  note: string
}

/** Verified is what a reader learns from a proof that it accepts. */
export interface Verified {
  round: number
  /** The answer has every round that was certified before, in milliseconds since 1970. */
  at: number
  /** The frontends whose signatures are as new as that. */
  by: string[]
}

const lines = (s: string) => s.split('\n').slice(0, -1)

function numberOf(digits: string, what: string): number {
  const n = Number(digits)
  if (!Number.isSafeInteger(n)) throw malformed(what)
  return n
}

const proofForm = new RegExp(
  `^c2sp\\.org/tlog-proof@v1\nextra ${bytesForm}\nindex ${numberForm}\n((?:${hashForm}\n){0,${maxPath}})\n([^]*)$`,
)
const roundForm = new RegExp(
  `^laurel round 1\nnumber ${numberForm}\nindex ${numberForm}\nrevision ${numberForm} ${hashForm}\n` +
    `answers ${numberForm} ${hashForm}\n`,
)
const leafForm = new RegExp(`leaf ${numberForm} ${hashForm} ([^\n]*)\n((?:${hashForm}\n)*)`, 'y')

/** parseProof takes only the form that frontends write. */
function parseProof(text: string): Proof {
  const [, extra, index, path, , note] = proofForm.exec(text) ?? []
  if (extra === undefined || utf8(text).length > maxProofSize) throw malformed('proof')
  let data: string
  try {
    data = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(decode(extra))
  } catch {
    throw malformed('proof')
  }
  const [round, number, , , , answers, root] = roundForm.exec(data) ?? []
  if (!round || Number(index) !== Number(number) - 1) throw malformed('proof')
  const leaves: Leaf[] = []
  leafForm.lastIndex = round.length
  while (leafForm.lastIndex < data.length) {
    const [, place, body, key, beside] = leafForm.exec(data) ?? []
    if (place === undefined || leaves.length > maxPath) throw malformed('proof')
    leaves.push({ index: numberOf(place, 'proof'), body: body!, key: key!, path: lines(beside!) })
  }
  return {
    text: round,
    round: numberOf(number!, 'proof'),
    answers: numberOf(answers!, 'proof'),
    root: root!,
    path: lines(path!),
    note: note!,
    leaves,
  }
}

/** before compares keys as bytes. */
function before(a: string, b: string): boolean {
  const [x, y] = [utf8(a), utf8(b)]
  const i = x.findIndex((n, i) => n !== y[i])
  return i < 0 ? x.length < y.length : i < y.length && x[i]! < y[i]!
}

/** provesAbsence reports whether leaves of a tree show that it has none with the key. */
function provesAbsence(key: string, [first, second, ...more]: Leaf[], size: number): boolean {
  if (!first) return size === 0
  if (!second)
    return (first.index === 0 && before(key, first.key)) || (first.index === size - 1 && before(first.key, key))
  return !more.length && first.index + 1 === second.index && before(first.key, key) && before(key, second.key)
}

/** checkAnswer compares the answer with what the leaves prove of the round. */
async function checkAnswer(p: Proof, key: string, body: string | null) {
  const refused = new Refused('answer', 'the proof is not one of this answer')
  for (const leaf of p.leaves) {
    const hash = await leafHash(utf8(leaf.key + '\n'), decode(leaf.body))
    if ((await rootFrom(hash, leaf.index, p.answers, leaf.path)) !== p.root) throw refused
  }
  const [leaf] = p.leaves
  if (body === null) {
    if (p.answers === 0 && p.root !== encode(await sha256())) throw refused
    if (!provesAbsence(key, p.leaves, p.answers)) throw refused
  } else if (p.leaves.length !== 1 || leaf!.key !== key || leaf!.body !== encode(await sha256(utf8(body))))
    throw refused
}

interface Signature {
  signer: Signer
  /** Of a cosignature, in seconds. */
  time: number
}

/** open returns the text of a note and the valid signatures by keys of the policy. */
async function open(policy: Policy, note: string): Promise<[text: string, signatures: Signature[]]> {
  if (utf8(note).length > maxNoteSize) throw malformed('certificate')
  const split = note.lastIndexOf('\n\n')
  const text = note.slice(0, split + 1)
  const signed = lines(note.slice(split + 2))
  const odd = /[\0-\x09\x0b-\x1f]|\p{Surrogate}/u // control characters, and what is not UTF-8
  if (split < 0 || !note.endsWith('\n') || odd.test(note) || signed.length > maxSignatures)
    throw new Refused('signature', 'the certificate is no signed note')
  const signatures: Signature[] = []
  for (const line of signed) {
    const [, name, encoded] = new RegExp(`^\u2014 ([^\\s\u0085+]+) ${bytesForm}$`).exec(line) ?? []
    const bytes = decode(encoded ?? '')
    if (bytes.length < 5) throw new Refused('signature', 'the certificate is no signed note')
    const id = [...bytes.subarray(0, 4)].map((n) => n.toString(16).padStart(2, '0')).join('')
    const signer = policy.signers.find((s) => s.name === name && s.id === id)
    if (!signer || signatures.some((s) => s.signer === signer)) continue
    signatures.push(await verifySignature(signer, text, bytes.subarray(4)))
  }
  if (!signatures.length) throw new Refused('signature', 'no frontend of the policy has signed the certificate')
  return [text, signatures]
}

async function verifySignature(signer: Signer, text: string, signature: Uint8Array<ArrayBuffer>): Promise<Signature> {
  let [message, bytes, time] = [utf8(text), signature, 0n]
  if (signer.kind === cosignatureType) {
    if (bytes.length === 72) time = new DataView(bytes.slice().buffer).getBigUint64(0)
    message = concat(utf8(`cosignature/v1\ntime ${time}\n`), message)
    bytes = bytes.subarray(8)
  }
  if (bytes.length !== 64 || time >= 1n << 63n || !(await crypto.subtle.verify('Ed25519', signer.key, bytes, message)))
    throw new Refused('signature', `the signature of ${signer.name} is not valid`)
  return { signer, time: Number(time) }
}

/** Reader verifies answers by a policy, and remembers what it has accepted: witness.Reader. */
export class Reader {
  private seen: Seen = { size: 0, root: '', note: '' }

  constructor(private policy: Policy) {}

  /**
   * verify accepts the answer for a key, or throws why it does not: Refused. The body is the
   * exact text of the answer, or null for the answer that there is none.
   */
  async verify(key: string, body: string | null, proof: string, now: number): Promise<Verified> {
    const p = parseProof(proof)
    await checkAnswer(p, key, body)
    const { size, root, at, by } = await this.certificate(p.note, now)
    // Only the newest round of a certificate has the newest answers.
    const leaf = await leafHash(utf8(p.text))
    if (p.round !== size || (await rootFrom(leaf, size - 1, size, p.path)) !== root)
      throw new Refused('answer', 'the round is not the newest of the certificate')
    return { round: size, at, by }
  }

  private async certificate(note: string, now: number) {
    const { origin, quorum, until } = this.policy
    const [text, signatures] = await open(this.policy, note)
    const [, first, digits, root] = new RegExp(`^([^\n]*)\n${numberForm}\n${hashForm}\n$`).exec(text) ?? []
    const size = numberOf(digits ?? '', 'certificate')
    if (first !== origin || !size) throw malformed('certificate')
    const times = signatures.filter((s) => s.signer.name !== origin)
    if (times.length < quorum || times.length === signatures.length)
      throw new Refused('quorum', `${times.length} frontends have signed, not ${quorum}`)
    const at = times.map((s) => s.time * 1000).sort((a, b) => b - a)[quorum - 1]!
    const by = times.filter((s) => s.time * 1000 >= at).map((s) => s.signer.name)
    this.compare({ size, root: root!, note })
    const age = now - at
    if (now > until) throw new Refused('expired', 'the policy has expired')
    if (age > maxAgeMS) throw new Refused('stale', 'the certificate is too old, or the clock of this device is wrong')
    if (-age > maxAgeMS) throw new Refused('future', 'the certificate is of the future; look at the clock of this device')
    this.accept({ size, root: root!, note })
    return { size, root: root!, at, by }
  }

  /** compare refuses a certificate that does not follow what was seen before. */
  private compare(head: Seen) {
    this.load()
    const { size, root, note } = this.seen
    if (head.size === size && head.root !== root)
      throw new Refused('fork', 'two certificates contradict each other', [note, head.note])
    if (head.size < size) throw new Refused('older', 'the certificate is older than one seen before')
  }

  private get name() {
    return 'laurel.seen.' + this.policy.store
  }

  /** load takes what another tab, or this page before, has seen. */
  private load() {
    try {
      const stored = JSON.parse(localStorage.getItem(this.name) ?? '{}') as Partial<Seen>
      if (stored.size! > this.seen.size) this.seen = { size: 0, root: '', note: '', ...stored }
    } catch {
      // without storage this page remembers only what it has seen itself
    }
  }

  private accept(head: Seen) {
    this.seen = head
    try {
      localStorage.setItem(this.name, JSON.stringify(head))
    } catch {
      // the same
    }
  }
}
