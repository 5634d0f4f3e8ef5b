// A Nest application that records what its users do: what succeeded, what failed, and what was denied.
import 'reflect-metadata'
import { openAuditLog } from '@killick/sdk'
import { createAudit } from '@killick/sdk/kit'
import { Audited, auditRequests, requestEvent } from '@killick/sdk/nest'
import {
  type CanActivate,
  Controller,
  type ExecutionContext,
  ForbiddenException,
  Get,
  HttpCode,
  Module,
  NotFoundException,
  Param,
  Post,
  Req,
  UnauthorizedException,
} from '@nestjs/common'
import { APP_GUARD, NestFactory } from '@nestjs/core'
import { FastifyAdapter } from '@nestjs/platform-fastify'

type Asking = { headers: Record<string, string | undefined>; user?: { type: string; id: string; role: string } }

const log = await openAuditLog({
  url: process.env.KILLICK_URL ?? 'http://127.0.0.1:8787',
  source: 'invoices',
  key: process.env.KILLICK_KEY ?? './invoices.key.json',
  logKey: process.env.KILLICK_LOG_KEY, // from the ledger's operator
  spool: process.env.KILLICK_SPOOL ?? './spool',
} as Parameters<typeof openAuditLog>[0])
const audit = createAudit(log)

const invoices = new Map([['2026-0042', { id: '2026-0042', state: 'open', amount: 1200 }]])

/** In place of a session: who is asking. */
class SignedIn implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest<Asking>()
    const [id, role = 'clerk'] = (request.headers['x-user'] ?? '').split(':')
    if (!id) throw new UnauthorizedException('not signed in')
    request.user = { type: 'user', id, role }
    return true
  }
}

@Controller()
class Invoices {
  @Post('invoices/:id/approve')
  @HttpCode(200)
  @Audited({ action: 'invoice.approve', target: ({ params }) => ({ type: 'invoice', id: params.id }) })
  approve(@Param('id') id: string, @Req() { user }: Asking) {
    const invoice = invoices.get(id)
    if (!invoice) throw new NotFoundException('there is no such invoice')
    if (user?.role !== 'manager') throw new ForbiddenException('only managers approve invoices')
    const before = invoice.state
    invoice.state = 'approved'
    requestEvent().set({ changes: [{ path: '/state', before, after: invoice.state }] })
    return invoice
  }

  @Get('export')
  @Audited({ action: 'invoice.export' })
  async export() {
    await new Promise((resolve) => setTimeout(resolve, 200))
    return [...invoices.values()]
  }
}

@Module({ controllers: [Invoices], providers: [{ provide: APP_GUARD, useClass: SignedIn }] })
class AppModule {}

// On Express, which is Nest's default, or on Fastify; what follows is the same.
const app = await (process.env.PLATFORM === 'fastify'
  ? NestFactory.create(AppModule, new FastifyAdapter(), { logger: ['error'] })
  : NestFactory.create(AppModule, { logger: ['error'] }))

// Right away, so that what guards refuse is recorded too. No answer leaves before its event is on disk.
auditRequests<Asking>(app, audit, {
  actor: (request) => request.user,
  record: ({ outcome }) => outcome === 'denied',
  responseWaits: true,
})

await app.listen(process.env.PORT ?? 3000, '127.0.0.1')
console.log(`Invoices at ${await app.getUrl()}`)

// Nothing is lost without this, but it would be sent at the next start only.
process.on('SIGTERM', async () => {
  await app.close()
  const { pending } = await log.close()
  console.log(`${pending} events left in the spool`)
})
