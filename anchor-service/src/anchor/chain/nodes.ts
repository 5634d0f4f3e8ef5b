import { openNode, quantity, type RpcError, type RpcNode } from './rpc.ts'

/** Why a node is not asked for now. */
export type NodeFault = 'unreachable' | 'wrong_chain' | 'behind' | 'contradicts'
export type NodeStatus = { node: string; fault: NodeFault | null; detail: string | null }

/** Too few nodes agree on an answer: nothing is known, so nothing may be done. */
export class NoQuorum extends Error {
  override readonly name = 'NoQuorum'
  readonly kind: 'unreachable' | 'contradiction' | 'wrong_chain'
  constructor(kind: NoQuorum['kind'], message: string) {
    super(message)
    this.kind = kind
  }
}

export type Nodes = {
  /**
   * The newest block that all nodes know, except nodes that are far behind. Nodes that were set aside are tried again meanwhile,
   * and awaited only if there is no quorum without them.
   * @throws NoQuorum
   */
  survey(): Promise<{ chainId: number; block: number }>
  /** The answer of the first node that gives one; a refusal counts as an answer. @throws RpcError */
  ask(method: string, params: readonly unknown[]): Promise<unknown>
  /**
   * The answer that a quorum agrees on and that has more votes than any other. `facts` reduces an answer to what must be equal.
   * Nodes that say otherwise are set aside, but not a node that says null: it does not know what others know.
   * @throws NoQuorum
   */
  agree<T>(method: string, params: readonly unknown[], facts: (answer: unknown) => T): Promise<T>
  /** What each node says, or why it says nothing. */
  poll(method: string, params: readonly unknown[]): Promise<PromiseSettledResult<unknown>[]>
  readonly quorum: number
  /** Tells every node, even those set aside. @returns one promise for each */
  tell(method: string, params: readonly unknown[]): Promise<unknown>[]
  status(): NodeStatus[]
}

export type NodesOptions = {
  urls: readonly string[]
  /** How many nodes must agree. Default: 1 of up to two nodes, else the majority. */
  quorum?: number
  /** The chain these nodes must be on; default: what the first to answer says. */
  chainId?: number
  timeoutMs: number
  /** Blocks that a node may lag behind the others. */
  maxLag: number
}

type Member = {
  node: RpcNode
  fault: NodeFault | null
  detail: string | null
  triedAt: number
  chainId: number | null
  chainIdAt: number
}

/** How often a node that was set aside is tried again. ms */
const RETRY_MS = 1_000
/** How often a node is asked which chain it is on. ms */
const CHAIN_MS = 3_000

/** Several nodes of one chain as one node, which is right as long as enough of them are. */
export function openNodes(options: NodesOptions): Nodes {
  const members: Member[] = options.urls.map((url) => ({
    node: openNode(url, options.timeoutMs),
    fault: null,
    detail: null,
    triedAt: Number.NEGATIVE_INFINITY,
    chainId: null,
    chainIdAt: Number.NEGATIVE_INFINITY,
  }))
  const quorum = options.quorum ?? (members.length <= 2 ? 1 : Math.floor(members.length / 2) + 1)
  let chainId = options.chainId ?? null

  /** The block that a quorum knew at the last survey. */
  let high = 0
  const setAside = (member: Member, fault: NodeFault, detail: string) => Object.assign(member, { fault, detail })
  const usable = () => members.filter((member) => member.fault === null)

  /** By the block of the last survey, since a node that was set aside reports while nobody waits for it. */
  function judge(member: Member, number: number): void {
    if (number >= high - options.maxLag) Object.assign(member, { fault: null, detail: null })
    else setAside(member, 'behind', `${member.node.label} is ${high - number} blocks behind`)
  }

  async function report(member: Member): Promise<{ member: Member; id: number; number: number } | null> {
    member.triedAt = performance.now()
    try {
      const [id, number] = await Promise.all([
        askChainId(member),
        member.node.call('eth_blockNumber', []).then(quantity),
      ])
      chainId ??= id
      if (id !== chainId) setAside(member, 'wrong_chain', `${member.node.label} is on chain ${id}, not ${chainId}`)
      else judge(member, number)
      return { member, id, number }
    } catch (error) {
      setAside(member, 'unreachable', (error as Error).message)
      return null
    }
  }

  return {
    async survey() {
      const trusted = usable()
      const asked = trusted.length >= quorum ? trusted : members
      for (const member of members) {
        if (!asked.includes(member) && performance.now() - member.triedAt >= RETRY_MS) report(member)
      }
      const reports = await Promise.all(asked.map(report))
      const heard = reports.filter((report) => report !== null)
      const same = heard.filter((report) => report.id === chainId).sort((a, b) => b.number - a.number)
      const agreed = same[quorum - 1]?.number
      if (agreed === undefined || chainId === null) {
        const faults = members.flatMap(({ detail }) => detail ?? [])
        const kind = heard.length > 0 && same.length === 0 ? 'wrong_chain' : 'unreachable'
        throw new NoQuorum(kind, `${same.length} of ${quorum} nodes can be asked: ${faults.join('; ')}`)
      }
      high = agreed
      // What else was found out about one meanwhile stands.
      for (const { member, number } of same)
        if (member.fault === null || member.fault === 'behind') judge(member, number)
      const block = same.findLast(({ member }) => member.fault === null)!.number
      return { chainId, block }
    },

    async ask(method, params) {
      let failure: unknown
      for (const member of usable().length > 0 ? usable() : members) {
        try {
          return await member.node.call(method, params)
        } catch (error) {
          if ((error as RpcError).kind === 'refused') throw error
          setAside(member, 'unreachable', (error as Error).message)
          failure ??= error
        }
      }
      throw failure
    },

    async agree(method, params, facts) {
      const votes = await Promise.all(usable().map((member) => vote(member, method, params, facts)))
      const cast = votes.filter(({ key }) => key !== null)
      if (cast.length < quorum) {
        const why = votes.flatMap(({ failure }) => failure?.message ?? []).join('; ') || 'too few nodes can be asked'
        throw new NoQuorum('unreachable', `no quorum for ${method}: ${why}`)
      }
      const counts = new Map<string, number>()
      for (const { key } of cast) if (key !== NOTHING) counts.set(key!, (counts.get(key!) ?? 0) + 1)
      const [[best, most] = [NOTHING, 0], [, next] = [NOTHING, 0]] = [...counts].sort((a, b) => b[1] - a[1])
      const nothing = cast.filter(({ key }) => key === NOTHING).length
      if (most >= quorum ? most === next : nothing < quorum) {
        throw new NoQuorum('contradiction', `the nodes contradict each other about ${method}`)
      }
      const winner = most >= quorum ? best : NOTHING
      for (const { member, key } of cast) {
        if (key === winner || key === NOTHING) continue
        setAside(member, 'contradicts', `${member.node.label} contradicts the others about ${method}`)
      }
      return cast.find(({ key }) => key === winner)!.facts as ReturnType<typeof facts>
    },

    poll: (method, params) => Promise.allSettled(usable().map(({ node }) => node.call(method, params))),

    quorum,

    tell: (method, params) =>
      members.filter(({ fault }) => fault !== 'wrong_chain').map(({ node }) => node.call(method, params)),

    status: () => members.map(({ node, fault, detail }) => ({ node: node.label, fault, detail })),
  }
}

/** An address that leads to another chain than before is rare, but happens; it is noticed within seconds. */
async function askChainId(member: Member): Promise<number> {
  if (member.chainId === null || member.fault !== null || performance.now() - member.chainIdAt > CHAIN_MS) {
    member.chainId = quantity(await member.node.call('eth_chainId', []))
    member.chainIdAt = performance.now()
  }
  return member.chainId
}

/** The vote of a node that knows nothing, which does not contradict a node that knows something. */
const NOTHING = 'null'

type Vote<T> = { member: Member; key: string | null; facts?: T; failure?: RpcError }

/** A node that cannot tell (down, or its old state pruned) abstains; only another answer is a vote against. */
async function vote<T>(
  member: Member,
  method: string,
  params: readonly unknown[],
  facts: (answer: unknown) => T,
): Promise<Vote<T>> {
  try {
    const found = facts(await member.node.call(method, params))
    return { member, key: JSON.stringify(found), facts: found }
  } catch (error) {
    return { member, key: null, failure: error as RpcError }
  }
}
