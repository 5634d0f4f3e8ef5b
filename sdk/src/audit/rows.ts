// Rows that stand beside the log, each at its place in it, read page by page as the walk comes to them.

/** Rows that stand beside the log, in the order of their keys, read as an audit comes to them. Memory holds one page. */
export class RowCursor<Row> {
  readonly #read: (after: number) => Promise<readonly Row[]>
  readonly #keyOf: (row: Row) => number
  #page: readonly Row[] = []
  #at = 0
  #last = -1
  #isDone = false

  /** @param read a page of the rows with keys above one, the smallest first; none when there are no more */
  constructor(read: (after: number) => Promise<readonly Row[]>, keyOf: (row: Row) => number) {
    this.#read = read
    this.#keyOf = keyOf
  }

  /** Those not yet given with keys up to one. What is added meanwhile has keys beyond the log that is walked. */
  async upTo(key: number): Promise<Row[]> {
    const rows: Row[] = []
    for (;;) {
      for (; this.#at < this.#page.length; this.#at++) {
        const row = this.#page[this.#at]!
        if (this.#keyOf(row) > key) return rows
        this.#last = this.#keyOf(row)
        rows.push(row)
      }
      if (this.#isDone) return rows
      this.#page = await this.#read(this.#last)
      this.#at = 0
      this.#isDone = this.#page.length === 0
    }
  }
}
