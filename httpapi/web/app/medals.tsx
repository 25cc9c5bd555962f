import type { Mark } from './certified'
import { rank } from './format'
import type { MedalRow, Medals } from './model'
import { CertifiedMark, CorrectedBadge, Isolated, Value } from './parts'
import { toMedals } from './route'

function Row({ row, name, why }: { row: MedalRow; name: string; why?: string }) {
  return (
    <tr>
      <td class="rank">{rank(row)}</td>
      <th scope="row">
        <span class="org">
          <Isolated text={row.organisation} />
        </span>{' '}
        {name !== row.organisation && (
          <span class="name">
            <Isolated text={name} />
          </span>
        )}
        {why !== undefined && (
          <>
            {' '}
            <CorrectedBadge why={why} />
          </>
        )}
      </th>
      {([row.gold, row.silver, row.bronze, row.total] as const).map((n, i) => (
        <td key={i} class={i === 3 ? 'n total' : 'n'}>
          <Value of={n}>{n}</Value>
        </td>
      ))}
    </tr>
  )
}

/** Names of organisations by competition, for rows without a name. */
export type Names = Map<string, Map<string, string>>

export const nameIn = (m: Medals, r: MedalRow, names: Names) =>
  r.name || names.get(m.competition)?.get(r.organisation) || r.organisation

export function MedalTable({
  medals: m,
  names,
  corrected,
  most,
  mark,
}: {
  medals: Medals
  names: Names
  corrected: Map<string, string>
  most?: number
  mark?: Mark
}) {
  const rows = most ? m.rows.slice(0, most) : m.rows
  const name = (r: MedalRow) => nameIn(m, r, names)
  return (
    <div class="card">
      <table class="medals">
        <caption>
          <h2>Medals</h2> <span class="sub">
            <Isolated text={m.name || m.competition} />
          </span>
          {corrected.size > 0 && (
            <>
              {' '}
              <CorrectedBadge />
            </>
          )}
        </caption>
        <thead>
          <tr>
            <th scope="col" class="rank">
              <abbr title="Rank">#</abbr>
            </th>
            <th scope="col">Team</th>
            {['Gold', 'Silver', 'Bronze'].map((medal) => (
              <th key={medal} scope="col" class="n">
                <span class={'disc ' + medal.toLowerCase()} aria-hidden="true" />
                <span class="hidden">{medal}</span>
              </th>
            ))}
            <th scope="col" class="n">
              Total
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map((r) => (
            <Row key={r.organisation} row={r} name={name(r)} why={corrected.get(r.organisation)} />
          ))}
          {!rows.length && (
            <tr>
              <td colSpan={6} class="empty">
                No medal has been awarded yet.
              </td>
            </tr>
          )}
        </tbody>
        {m.outside.length > 0 && !most && (
          <tbody class="outside">
            <tr>
              <th colSpan={6} scope="rowgroup">
                Outside the ranking
              </th>
            </tr>
            {m.outside.map((r) => (
              <Row key={r.organisation} row={r} name={name(r)} why={corrected.get(r.organisation)} />
            ))}
          </tbody>
        )}
      </table>
      {mark && <CertifiedMark mark={mark} />}
      {most && m.rows.length + m.outside.length > rows.length && (
        <p class="more">
          <a href={toMedals(m.competition)}>The whole medal table</a>
        </p>
      )}
    </div>
  )
}
