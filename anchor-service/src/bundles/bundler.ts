// A thread that makes bundles. maker.ts starts it and describes the messages between the two.
import { openApi } from '@killick/sdk/audit'
import { answerQuestions, KillickError, sayNews } from '@killick/sdk/core'
import { bundleRequest, makeBundle } from '@killick/sdk/make-bundle'
import { DISK_FULL, isFull } from './job.ts'
import type { Making, MakingEnd, MakingNews } from './maker.ts'

/** Time between two reports of progress, ms. */
const REPORT_MS = 200
/** How often one request is sent again after a minute at most, if the service's rate limit refuses it. */
const PATIENCE = 60

async function make({ url, token, publicUrl, conditions, file, maxBytes }: Making): Promise<MakingEnd> {
  let toldAt = 0
  try {
    const made = await makeBundle(openApi(url, token, { patience: PATIENCE }), bundleRequest(conditions), file, {
      ...{ url: publicUrl, maxBytes },
      onProgress(progress) {
        if (performance.now() - toldAt < REPORT_MS) return
        toldAt = performance.now()
        sayNews<MakingNews>(progress)
      },
    })
    return { made }
  } catch (error) {
    if (error instanceof KillickError) return { refused: { code: codeOf(error), detail: error.message } }
    if (isFull(error)) return { refused: { code: 'bundles_full', detail: DISK_FULL } }
    throw error
  }
}

/** What the service itself refused has its code inside. */
const codeOf = ({ code, details }: KillickError): string => (typeof details.code === 'string' ? details.code : code)

answerQuestions(
  async (making: Making) => ({ answer: await make(making) }),
  async () => {},
)
