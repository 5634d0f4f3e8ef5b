// Locks a folder, says so and keeps it until it is killed. Arguments: folder, options (JSON); `cluster` as a third has a worker do it.
import cluster from 'node:cluster'
import { lockDirectory } from '../../../sdk/src/node/lock.ts'

const [dir, options, how] = process.argv.slice(2)
if (how === 'cluster' && cluster.isPrimary) {
  const worker = cluster.fork()
  worker.on('message', (said) => process.stdout.write(`${said}\n`))
  worker.on('exit', () => process.stdout.write('worker ended\n'))
} else {
  await lockDirectory(dir!, JSON.parse(options!))
  if (how === 'cluster') process.send!(`locked ${process.pid}`)
  else process.stdout.write(`locked ${process.pid}\n`)
}
// Neither the lock nor anything else keeps it alive.
setInterval(() => {}, 60_000)
