/** What is used of hypercore, which comes without types. */
declare module 'hypercore' {
  export default class Hypercore {
    constructor(folder: string)
    ready(): Promise<void>
    append(blocks: readonly Uint8Array[]): Promise<number>
    close(): Promise<void>
  }
}
