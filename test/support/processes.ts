export * from '../../scripts/lib/processes.ts'
