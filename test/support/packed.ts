import { join } from 'node:path'
import { pack } from '../../scripts/tarballs.ts'
import { onceInRun } from './once.ts'

/** What `npm run pack` makes: the staged packages and their tarballs. */
export interface Packed {
  /** Holds `sdk/`, `anchor-service/` and `gateway/`, as npm would unpack them. */
  folder: string
  sdk: string
  service: string
  gateway: string
}

/** The packages of this checkout, packed once for all test files of a run. */
export async function packed(): Promise<Packed> {
  const folder = await onceInRun('dist', pack)
  const tarball = (name: string) => join(folder, `killick-${name}-0.1.0.tgz`)
  return { folder, sdk: tarball('sdk'), service: tarball('anchor-service'), gateway: tarball('gateway') }
}
