/** Lines of one kind that are said in each span of time; the others are only counted. */
const MAX_SAID = 20
const SAID_MS = 10_000

/** Under load the same fault comes a thousand times a second. */
export function sparing(tell: (text: string) => void): (text: string) => void {
  let [said, since] = [0, performance.now()]
  return (text) => {
    const now = performance.now()
    if (now - since > SAID_MS) {
      if (said > MAX_SAID) tell(`${said - MAX_SAID} more lines like these were left out`)
      ;[said, since] = [0, now]
    }
    said += 1
    if (said <= MAX_SAID) tell(text)
  }
}
