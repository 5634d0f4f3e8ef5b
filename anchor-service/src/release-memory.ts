/**
 * Gives back the memory of bytes that nobody needs any more; they are empty afterwards. The collector would do so late, and
 * would look through its whole heap each time: docs/decisions/0007-memory-given-back.md. Bytes that share their buffer with
 * others are left alone.
 */
export function free(bytes: Uint8Array): void {
  const { buffer, byteOffset } = bytes
  const isAlone = byteOffset === 0 && bytes.byteLength * 2 > buffer.byteLength
  if (buffer instanceof ArrayBuffer && isAlone) buffer.transfer(0)
}
