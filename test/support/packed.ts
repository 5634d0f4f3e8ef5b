import { access, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { inject } from 'vitest'
import { pack } from '../../scripts/tarballs.ts'

/** What `npm run pack` makes: the staged packages and their tarballs. */
export interface Packed {
  /** Holds `sdk/`, `anchor-service/` and `gateway/`, as npm would unpack them. */
  folder: string
  sdk: string
  service: string
  gateway: string
}

/** The packages of this checkout, packed once for all test files of a run: by the first that asks, while the others wait. */
export async function packed(): Promise<Packed> {
  const folder = join(inject('folder'), 'dist')
  const [done, failed] = [`${folder}.done`, `${folder}.failed`]
  const isThere = (path: string) =>
    access(path).then(
      () => true,
      () => false,
    )
  const isFirst = await mkdir(`${folder}.begun`).then(
    () => true,
    () => false,
  )
  if (isFirst) {
    try {
      await pack(folder)
      await writeFile(done, '')
    } catch (error) {
      await writeFile(failed, String((error as Error).message))
      throw error
    }
  }
  // Other processes: there is nothing to wait on but the file.
  while (!(await isThere(done))) {
    if (await isThere(failed)) throw new Error('another test file has tried to pack the packages, and failed')
    await sleep(100)
  }
  const tarball = (name: string) => join(folder, `killick-${name}-0.1.0.tgz`)
  return { folder, sdk: tarball('sdk'), service: tarball('anchor-service'), gateway: tarball('gateway') }
}
