// Reads rows that belong to places of the log, page by page as the walk comes to them.

/** Rows that belong to places of the log, in the order of their keys, read as an audit comes to them. Memory holds one page. */
export class RowCursor<Row> {
  readonly #read: (after: number) => Promise<readonly Row[]>
  readonly #keyOf: (row: Row) => number
  #page: readonly Row[] = []
  #at = 0
  #last = -1
  #isDone = false

  /** @param read returns a page of the rows with keys above a given one, smallest first; empty when there are no more */
  constructor(read: (after: number) => Promise<readonly Row[]>, keyOf: (row: Row) => number) {
    this.#read = read
    this.#keyOf = keyOf
  }

  /** Leaves out rows with keys up to a given one; to be called before any is read. */
  beginAfter(key: number): void {
    this.#last = key
  }

  /** The remaining rows with keys up to a given one. Rows added meanwhile have keys beyond the log that is walked. */
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
