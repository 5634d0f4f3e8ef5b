/** The settings that decide what pages tell, and where they lead. */
export type Published = {
  /**
   * KILLICK_PUBLIC_URL: the address of the service for outsiders, used in links. Default: that of the request that makes the
   * link.
   */
  url: string | null
  /**
   * KILLICK_PUBLIC_RPC_URL: JSON-RPC endpoints, separated by spaces, that the page asks unless a visitor names others.
   * Default: KILLICK_RPC_URL while that is on this machine; any other may hold an API key.
   */
  rpcs: string[]
  /**
   * KILLICK_APPROVAL_URLS: origins, separated by spaces, where the gateway asks people about calls that wait. The console links to these
   * and to the person's own machine alone, for whoever records can name any address, and people enter their keys there. Default: none.
   */
  approvals: string[]
}

/** @param fault called with the name of each wrong setting, and why it is wrong */
export function loadPublished(
  env: Readonly<Record<string, string | undefined>>,
  fault: (name: string, why: string) => void,
): Published {
  const urls = (name: string) => {
    const given = (env[name] ?? '').split(/\s+/).filter((url) => url !== '')
    const isUrl = (url: string) => URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)
    if (!given.every(isUrl)) fault(name, 'must be a URL that starts with http:// or https://')
    return given.filter(isUrl)
  }
  const isLocal = (url: string) => ['127.0.0.1', 'localhost'].includes(new URL(url).hostname)
  const rpcs = urls('KILLICK_PUBLIC_RPC_URL')
  const approvals = urls('KILLICK_APPROVAL_URLS')
  if (approvals.some((url) => new URL(url).href !== `${new URL(url).origin}/`))
    fault('KILLICK_APPROVAL_URLS', 'must be origins such as https://approve.example.com')
  const own = env.KILLICK_RPC_URL ?? ''
  return {
    url: urls('KILLICK_PUBLIC_URL')[0]?.replace(/\/+$/, '') ?? null,
    rpcs: rpcs.length > 0 ? rpcs : own.split(/[\s,]+/).filter((url) => URL.canParse(url) && isLocal(url)),
    approvals: approvals.map((url) => new URL(url).origin),
  }
}
