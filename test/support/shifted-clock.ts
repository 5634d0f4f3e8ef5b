// Preloaded (`node --import`) into a service under test: its wall clock goes wrong by as much as the parent tells it to.
// Monotonic clocks and timers are not affected, as on a machine whose clock is set.
let offset = 0
const Real = Date
const now = () => Real.now() + offset

globalThis.Date = new Proxy(Real, {
  construct: (target, args) => Reflect.construct(target, args.length === 0 ? [now()] : args),
  get: (target, name) => (name === 'now' ? now : Reflect.get(target, name)),
})

process.on('message', (message: { clockOffsetMs?: number }) => {
  if (message.clockOffsetMs === undefined) return
  offset = message.clockOffsetMs
  process.send!({ clockOffsetMs: offset })
})
// Listening alone is no reason to stay alive.
process.channel?.unref()
