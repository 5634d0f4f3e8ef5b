// The recorder of a database's changes, as the command and programs use it.

export { runChanges } from './command.ts'
export {
  type ChangesConfig,
  type ChangesLimits,
  checkChangesConfig,
  readChangesConfig,
} from './config.ts'
export { CHANGES_CODES, type ChangesCode, ChangesError } from './errors.ts'
export { type ChangesOptions, ChangesRecorder, type ChangesStatus } from './recorder.ts'
export { type SetupOptions, setupChanges } from './setup.ts'
export { type VerifyOptions, type VerifyResult, verifyChanges } from './verify.ts'
