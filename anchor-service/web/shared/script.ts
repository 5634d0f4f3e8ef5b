/** Runs a script of this site, and takes its element away again. Resolves also where it cannot be loaded: what it was to bring tells. */
export function runScript(src: string): Promise<void> {
  const script = document.createElement('script')
  script.src = src
  return new Promise<void>((resolve) => {
    script.onload = () => resolve()
    script.onerror = () => resolve()
    document.head.append(script)
  }).finally(() => script.remove())
}
