// Preloaded (`node --import`) into helper programs: ends them when the process that started them is gone, even after kill -9.
process.on('disconnect', () => process.exit(0))
process.channel?.unref()
