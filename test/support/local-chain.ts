export { type LocalChain, startChain } from '../../scripts/lib/local-chain.ts'
