// Texts of bards: their writing direction, and how they are searched.

/**
 * Characters that change the direction of what follows them or the shapes of letters, and
 * separators of lines.
 */
const obeyed = /[\u202a-\u202e\u2066-\u206f\u2028\u2029]/g

/** plain removes from a text what would change how the text beside it is shown. */
export const plain = (s: string) => s.replace(obeyed, '')

/** Letters that are written from right to left. */
const rightToLeft = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u

/**
 * isolated is plain for a text that is joined with others in a string: what is written from
 * right to left does not reorder them. In HTML, Isolated does the same.
 */
export function isolated(s: string): string {
  const p = plain(s)
  return rightToLeft.test(p) ? '\u2068' + p + '\u2069' : p
}

/** Letters that have no accent to remove, but are searched by the letters that look like them. */
const letters: Record<string, string> = {
  ß: 'ss', æ: 'ae', œ: 'oe', ø: 'o', ł: 'l', đ: 'd', ð: 'd', þ: 'th', ħ: 'h', ı: 'i', ŋ: 'n', ς: 'σ',
}
const special = new RegExp('[' + Object.keys(letters).join('') + ']', 'g')

/**
 * searchable returns a text in the form in which it is searched: small letters without
 * accents and apostrophes, and a blank for everything else between words. SearchText in
 * score/search.go does the same; testdata/search.json has examples for both.
 */
export const searchable = (s: string) =>
  s
    .normalize('NFKD')
    .replace(/[\p{Mn}\p{Cf}'\u2019\u02bb\u02bc]/gu, '')
    .toLowerCase()
    .replace(special, (letter) => letters[letter]!)
    .replace(/[^\p{L}\p{N}\p{Mc}]+/gu, ' ')
    .trim()

/** finds reports whether the texts have each word that is looked for, at least as a part. */
export function finds(find: string, texts: (string | undefined)[]): boolean {
  const all = searchable(texts.join(' '))
  return searchable(find)
    .split(' ')
    .every((word) => all.includes(word))
}
