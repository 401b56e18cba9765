/** Numbers as they stand in the source, so that a page that names one cannot say another than the code. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { duration } from '../src/diagram/model.ts'
import { markdownTable } from '../src/diagram/table.ts'

export class Numbers {
  readonly #root: string

  constructor(root: string) {
    this.#root = root
  }

  /** A constant of a file (`FRESH_MS`), or the default of a parameter (`everyMs`). Throws if there is no such number. */
  valueOf(file: string, name: string): number {
    const text = readFileSync(join(this.#root, file), 'utf8')
    const isConstant = /^[A-Z]/.test(name)
    const pattern = isConstant ? `^(?:export )?const ${name} = (.+)$` : `\\b${name} = ([\\d._]+)`
    const written = new RegExp(pattern, 'm').exec(text)?.[1]
    if (written === undefined) throw new Error(`${file} has no number ${name}`)
    return this.#sum(file, written)
  }

  /** As people read it; the ending of the name says what it counts. */
  show(file: string, name: string): string {
    const value = this.valueOf(file, name)
    if (/(_|^[a-z]\w*)MS$/i.test(name)) return duration(value)
    if (name.endsWith('_BYTES_MAX')) return `${value / 1024 ** 2} MiB`
    return /_PART$|^reserve$/.test(name) ? `${Math.round(value * 100)} %` : value.toLocaleString('en')
  }

  /** What each bounds, how much that is, and where it stands. */
  table(rows: readonly (readonly [what: string, file: string, name: string])[]): string {
    return markdownTable(
      ['what', 'how much', 'where'],
      rows.map(([what, file, name]) => [what, this.show(file, name), `\`${name}\`, \`${file}\``]),
    )
  }

  /** `24 * 3_600_000`, `RESCUE_MS + RESOLUTION_DELAY_MS`, `1 / 4`: more is not written in constants. */
  #sum(file: string, written: string): number {
    return written.split(' + ').reduce((total, part) => total + this.#product(file, part), 0)
  }

  #product(file: string, written: string): number {
    const [first = '', ...rest] = written.split(/ (?=[*/] )/)
    return rest.reduce(
      (value, part) => {
        const factor = this.#atom(file, part.slice(2))
        return part.startsWith('*') ? value * factor : value / factor
      },
      this.#atom(file, first),
    )
  }

  #atom(file: string, written: string): number {
    if (/^[A-Z][A-Z0-9_]*$/.test(written)) return this.valueOf(file, written)
    const value = Number(written.replaceAll('_', ''))
    if (written === '' || Number.isNaN(value)) throw new Error(`${file}: ${written} is no plain number`)
    return value
  }
}
