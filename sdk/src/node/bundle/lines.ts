import { splitLines } from '../../bundle/lines.ts'

/** The lines of a stretch, without their line feeds. */
export const linesIn = ({ buffer, byteOffset, length }: Uint8Array): string[] =>
  splitLines(Buffer.from(buffer, byteOffset, length).toString('latin1'))
