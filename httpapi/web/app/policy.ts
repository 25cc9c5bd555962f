import { bytesForm, concat, decode, encode, numberForm, sha256, utf8, type Bytes } from './merkle'

/** Why something is not accepted: the kinds of errors of package witness. */
export type Why =
  | 'malformed'
  | 'signature'
  | 'expired'
  | 'quorum'
  | 'stale'
  | 'future'
  | 'older'
  | 'answer'
  | 'fork'

export class Refused extends Error {
  constructor(
    readonly why: Why,
    message: string,
    /** The two certificates of a fork. */
    readonly notes: string[] = [],
  ) {
    super(message)
  }
}

export const malformed = (what: string) => new Refused('malformed', `the ${what} is malformed`)

/** The types of signatures of signed notes. */
export const plainType = 0x01
export const cosignatureType = 0x04

const maxFrontends = 16
const maxPolicySize = 16 << 10
const groupName = 'laurel'

/** Signer is a public key under a name, for one type of signature. */
export interface Signer {
  name: string
  kind: number
  /** The hash of the key that its signatures begin with, as eight digits. */
  id: string
  key: CryptoKey
}

/** Policy says which frontends a reader believes: witness.Policy. */
export interface Policy {
  store: string
  /** The policy is void afterwards, in milliseconds since 1970. */
  until: number
  quorum: number
  /** The first line of the store's checkpoints, which is also the name of the log's keys. */
  origin: string
  frontends: string[]
  signers: Signer[]
}

const hex = (b: Bytes) => [...b].map((n) => n.toString(16).padStart(2, '0')).join('')

async function keyID(name: string, kind: number, key: Bytes): Promise<string> {
  return hex((await sha256(utf8(name + '\n'), Uint8Array.of(kind), key)).subarray(0, 4))
}

const verifierKey = (s: Signer, key: Bytes) =>
  `${s.name}+${s.id}+${encode(concat(Uint8Array.of(s.kind), key))}`

const isName = (s: string) => /^[!-~]{1,64}$/.test(s) && !/[+#]/.test(s)

/** Of four frontends one may be corrupt, and three are a quorum: witness.LeastQuorum. */
const leastQuorum = (n: number) => Math.floor((n + Math.floor((n - 1) / 3)) / 2) + 1

const policyForm = new RegExp(
  `^(# laurel policy 1\n# store ([^\n]*)\n# version ${numberForm}\n` +
    '# until ([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)\n[^]*?)# \u2014 [^\n]*\n$',
)

/**
 * parsePolicy returns the policy of a text as laurel policy prints it. It takes only that very
 * form. It does not look whose signature is in the last line: the page was made by who has
 * verified that.
 */
export async function parsePolicy(signed: string): Promise<Policy> {
  const [, text, store, , until] = policyForm.exec(signed) ?? []
  if (!text || !store || !until || utf8(signed).length > maxPolicySize) throw malformed('policy')
  const given = [...text.matchAll(new RegExp(`^witness (\\S+) \\1\\+[0-9a-f]{8}\\+${bytesForm}$`, 'gm'))]
  const frontends = given.map((m) => m[1]!)
  const keys = given.map((m) => decode(m[2]!).subarray(1))
  const n = frontends.length
  const quorum = Number(new RegExp(`^group ${groupName} ${numberForm} `, 'm').exec(text)?.[1])
  const at = new Date(until)
  if (
    !isName(store) ||
    isNaN(+at) ||
    at.toISOString() !== until.replace('Z', '.000Z') ||
    n === 0 ||
    n > maxFrontends ||
    frontends.some((name) => !isName(name) || name === groupName) ||
    keys.some((key) => key.length !== 32) ||
    new Set(frontends).size !== n ||
    new Set(keys.map(encode)).size !== n ||
    !(quorum >= leastQuorum(n) && quorum <= n)
  )
    throw malformed('policy')
  const origin = `${groupName}/${store}`
  const signer = async (name: string, kind: number, key: Bytes): Promise<Signer> => ({
    name,
    kind,
    id: await keyID(name, kind, key),
    key: await crypto.subtle.importKey('raw', key, 'Ed25519', false, ['verify']),
  })
  const logs = await Promise.all(keys.map((key) => signer(origin, plainType, key)))
  const witnesses = await Promise.all(keys.map((key, i) => signer(frontends[i]!, cosignatureType, key)))
  const lines = [
    ...logs.map((s, i) => `log ${verifierKey(s, keys[i]!)}\n`),
    ...witnesses.map((s, i) => `witness ${s.name} ${verifierKey(s, keys[i]!)}\n`),
    `group ${groupName} ${quorum} ${frontends.join(' ')}\nquorum ${groupName}\n`,
  ]
  if (text.split('\n').slice(4).join('\n') !== lines.join('')) throw malformed('policy')
  return { store, until: +at, quorum, origin, frontends, signers: [...witnesses, ...logs] }
}
