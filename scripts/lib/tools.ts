import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Programs that suites of this repository need beside Node, and what installs each on Debian. */
export const TOOLS = {
  'redis-server': { names: ['redis-server'], install: 'apt-get install redis-server' },
  // The shell is the same engine without the browser's own windows: it opens a page in a quarter of the time.
  chromium: {
    names: ['chromium-headless-shell', 'chromium', 'chromium-browser', 'google-chrome'],
    install: 'apt-get install chromium-headless-shell',
  },
  // Containers built and run where no container engine may: a base image from Debian's packages, and chroot in place of namespaces.
  buildah: { names: ['buildah'], install: 'apt-get install buildah' },
  mmdebstrap: { names: ['mmdebstrap'], install: 'apt-get install mmdebstrap' },
  // What is printed for shells and for man is read by them.
  zsh: { names: ['zsh'], install: 'apt-get install zsh' },
  fish: { names: ['fish'], install: 'apt-get install fish' },
  // A recorder in Python is an example, made from PROTOCOL.md and the vectors.
  'python3-cryptography': { names: ['python3'], install: 'apt-get install python3-cryptography' },
  // Another language's client of PostgreSQL.
  'python3-psycopg2': { names: ['python3'], install: 'apt-get install python3-psycopg2' },
  // What everybody has for PostgreSQL.
  psql: { names: ['psql'], install: 'apt-get install postgresql-client' },
  // What stands between many applications and their PostgreSQL.
  pgbouncer: { names: ['pgbouncer'], install: 'apt-get install pgbouncer' },
  // Client certificates for the collector's tests.
  openssl: { names: ['openssl'], install: 'apt-get install openssl' },
  groff: { names: ['groff'], install: 'apt-get install groff-base' },
  // Programs that send to the collector, in the languages of its guide.
  curl: { names: ['curl'], install: 'apt-get install curl' },
  python3: { names: ['python3'], install: 'apt-get install python3' },
  php: { names: ['php'], install: 'apt-get install php-cli' },
  javac: { names: ['javac'], install: 'apt-get install default-jdk-headless' },
} as const

/** The path of the first program of these names on the PATH, or null. */
export function findTool(tool: keyof typeof TOOLS): string | null {
  for (const name of TOOLS[tool].names) {
    for (const folder of (process.env.PATH ?? '').split(delimiter)) {
      const path = join(folder, name)
      try {
        accessSync(path, constants.X_OK)
        return path
      } catch {}
    }
  }
  return null
}
