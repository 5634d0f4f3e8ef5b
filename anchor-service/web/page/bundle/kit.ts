/** What the page lends to the script that checks bundles, which so needs no copy of it, and what it gets back. Types, and one name. */
import type { h, icon } from '../../shared/dom.ts'
import type { Language } from '../../shared/language.ts'
import type { said } from '../../shared/text.ts'
import type { By, Pins } from '../../shared/trust.ts'
import type { isTestChain } from '../../shared/words.ts'

export type Kit = {
  readonly h: typeof h
  readonly icon: typeof icon
  readonly said: typeof said
  readonly isTestChain: typeof isTestChain
  /** In the language that is spoken now. */
  readonly chainName: (chainId: number) => string
  readonly words: () => Language
  /** Called when there is something new to tell those who do not see the page. */
  readonly tell: (text: string) => void
}

/** Whom to trust and whom to ask. */
export type Given = {
  readonly pins: Pick<Pins, 'sourceKeys' | 'logKeys' | 'logs' | 'rpcs' | 'confirmations'>
  readonly by: By
  readonly publisher: string | undefined
}

export type BundleView = {
  readonly element: HTMLElement
  /** Reads the file from its start, and shows the verdict. A later call ends an earlier one. */
  verify(given: Given): Promise<void>
  /** Draws what is there again, in the language that is spoken now. */
  draw(): void
  stop(): void
}

export type OpenBundle = (file: File, kit: Kit) => BundleView

/** Where the script leaves its function for the page. */
export type BundleShelf = { killickBundle?: OpenBundle }
