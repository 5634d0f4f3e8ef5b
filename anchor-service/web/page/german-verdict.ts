/** German for verdicts: each check, what it found, what is missing, and whose word is taken. */
import type {
  ErasureFault,
  ErasureWord,
  NoAnswer,
  NodeSilence,
  RegistrationFault,
  Unreadable,
} from '@killick/sdk/verify'
import type { Print, VerdictWords } from '@killick/sdk/words'

type Means = Print & {
  readonly parser: (refusal: Unreadable) => string
  readonly silence: (said: string, fault: NoAnswer | null) => string
}

export function germanVerdict({ time, number, parser, silence }: Means): VerdictWords {
  const of = (part: number, all: number) => `${number(part)} von ${number(all)}`
  const unread = { part_unreadable: 'Ein Teil, auf dem dies beruht, ist nicht lesbar' }
  const unasked = {
    not_asked: 'Es wurde kein Knoten befragt',
    node_unreadable: ({ node, said, fault }: NodeSilence) =>
      fault?.what === 'none' ? silence(said, fault) : `${node}: ${silence(said, fault)}`,
  }
  const denied = {
    code_foreign: ({ contract }: { readonly contract: string }) =>
      `Der Code unter ${contract} ist nicht der veröffentlichte Smart Contract`,
    not_held:
      'Der Smart Contract enthält diese Wurzel mit dieser Größe und Zeit nicht: gefälscht, oder der Block wurde verworfen',
  }
  const signed: Pick<
    VerdictWords['details']['batch.signature'],
    'ok' | 'key_absent' | 'key_mismatch' | 'signature_invalid'
  > = {
    ok: ({ alg, kid }) => `${alg}, Schlüssel ${kid}`,
    key_absent: ({ kid }) => `Der Nachweis enthält keinen Schlüssel namens ${kid}`,
    key_mismatch: ({ alg }) => `Der Schlüssel ist keiner für ${alg}`,
    signature_invalid: ({ kid }) => `Die Signatur passt nicht zum Schlüssel ${kid}`,
  }
  const besides = (names: readonly string[]) => (names.length > 0 ? `; nicht lesbar: ${names.join(', ')}` : '')
  const blockOf = ({ block }: { readonly block: number }) =>
    `Block ${block} hat eine andere Zeit oder enthält die Transaktion nicht`

  const keyFindings: VerdictWords['details']['source.registration']['ok'] = ({ keys, expired, expiredAt }) => {
    const late = (what: string) =>
      `${what} wurde nach den Ankern davor und danach außerhalb der Zeit verwendet, für die er registriert ist`
    return [
      ...(expiredAt === null
        ? []
        : [late(`Der Schlüssel des Prüfprotokolls, der Log-Eintrag ${number(expiredAt)} signiert hat,`)]),
      ...(expired === null ? [] : [late(`Schlüssel ${expired}`)]),
      ...keys.map(
        ({ kid, entry, since }) =>
          `Schlüssel ${kid} registriert mit Log-Eintrag ${number(entry)}, ${
            since === null ? 'Verankerung nicht gezeigt' : `verankert seit ${time(since)}`
          }`,
      ),
    ].join('; ')
  }

  function registrationFault(fault: RegistrationFault): string {
    if (fault.what === 'unreadable') return parser(fault.refusal)
    if (fault.what === 'not_first') return 'Die erste ist nicht die des Prüfprotokolls selbst, mit der das Log beginnt'
    const entry = `Eintrag ${number(fault.entry)}`
    return {
      out_of_order: `${entry} steht nicht in der Reihenfolge oder ist mit keinem registrierten Schlüssel signiert`,
      registers_nothing: `${entry} registriert nichts`,
      not_alone: `${entry} ist nicht der Stapel seines Ereignisses`,
      other_source: `${entry} gehört zu einer anderen Quelle`,
      path: `Der Pfad führt nicht von ${entry} zur Wurzel`,
      not_signed: `${entry} ist nicht mit einem zuvor registrierten Schlüssel des Prüfprotokolls signiert`,
    }[fault.what]
  }

  const entryOf = ({ logIndex, at, reason, legalBasis, order, policy, confirmed }: ErasureWord) =>
    `Log-Eintrag ${number(logIndex)}, ${time(at)}${
      policy ? `, Frist ${policy.id}, Fassung ${policy.version}` : order === null ? '' : `, Anordnung ${order}`
    }${confirmed ? `, angeordnet von ${confirmed.orderedBy}, bestätigt von ${confirmed.confirmedBy}` : ''}${legalBasis === null ? '' : ` (${legalBasis})`}: ${reason}`
  const fieldsOf = ({ count }: ErasureWord) => `${number(count)} ${count === 1 ? 'Feld' : 'Felder'}`
  const erasure = (word: ErasureWord) =>
    `${fieldsOf(word)} ${word.policy ? 'abgelaufen' : 'gelöscht'} durch ${entryOf(word)}`

  function erasureFault(fault: ErasureFault): string {
    if (fault.what === 'unreadable') return parser(fault.refusal)
    const entry = `Eintrag ${number(fault.entry)}`
    return {
      no_order: `${entry} ordnet keine Löschung an`,
      not_alone: `${entry} ist nicht der Stapel seines Ereignisses`,
      other_log: `der Prüfpunkt über ${entry} ist keiner, den dieses Log signiert hat`,
      not_in_log: `der Pfad führt nicht von ${entry} zu seinem Prüfpunkt, oder der Eintrag steht vor dem Ereignis`,
      not_listed: `${entry} nennt diese Felder dieses Ereignisses nicht`,
      not_hidden: `${entry} nennt ein Feld, das gezeigt wird oder nicht zu diesem Ereignis gehört`,
    }[fault.what]
  }

  return {
    titles: {
      'event.form': 'Das Ereignis ist vollständig, und jedes gezeigte Feld wurde so aufgezeichnet',
      'event.fields': 'Alles, was aufgezeichnet wurde, wird gezeigt',
      'event.erasure': 'Gelöscht wurde nur, was eine Anordnung im Log nennt',
      'event.signature': 'Die Quelle hat das Ereignis signiert',
      'event.time': 'Die angegebenen Zeiten passen zu den Ankern davor und danach',
      'batch.signature': 'Die Quelle hat den Stapel signiert',
      'batch.inclusion': 'Das Ereignis steht an seiner Stelle im Stapel',
      'source.key': 'Der Schlüssel der Quelle ist einer, dem Sie vertrauen',
      'source.registration': 'Das Log nennt den Inhaber des Schlüssels, schon vor dessen Verwendung',
      'log.inclusion': 'Der Stapel steht an seiner Stelle im Log',
      'log.signature': 'Das Log hat seinen Prüfpunkt signiert, mit einem Schlüssel, dem Sie vertrauen',
      anchor: 'Das Log ist in einer Blockchain verankert',
      'anchor.path': 'Die verankerte Wurzel umfasst den Stapel',
      'anchor.contract': 'Der Smart Contract in der Blockchain enthält diese Wurzel',
      'anchor.block': 'Der Anker steht in dem Block, den der Nachweis nennt',
      'anchor.final': 'Der Block kann nicht mehr verworfen werden',
      'anchor.log': 'Smart Contract und Log sind die, denen Sie vertrauen',
      'anchor.before': 'Der vorherige Anker umfasst den Stapel noch nicht',
    },
    details: {
      'event.form': {
        ok: ({ shown, fields }) => `${of(shown, fields)} Feldern gezeigt`,
        malformed: parser,
      },
      'event.fields': {
        ...unread,
        ok: () => 'Jedes Feld wird gezeigt',
        fields_hidden: ({ hidden, fields }) => `${of(hidden, fields)} Feldern nicht gezeigt`,
        fields_erased: ({ erased, hidden, fields }) =>
          `Auf Anordnung im Log gelöscht: ${of(erased, fields)} Feldern${
            hidden > erased ? `; weitere ${number(hidden - erased)} nicht gezeigt` : ''
          }`,
        fields_expired: ({ erased, hidden, fields }) =>
          `Nach einer Frist im Log abgelaufen: ${of(erased, fields)} Feldern${
            hidden > erased ? `; weitere ${number(hidden - erased)} nicht gezeigt` : ''
          }`,
        fields_missing: ({ missing, hidden, fields }) =>
          `Nach Angabe dieses Nachweises enthält das Prüfprotokoll ${of(missing, fields)} Feldern nicht mehr; insgesamt sind ${of(hidden, fields)} Feldern nicht gezeigt`,
        malformed: ({ missing, hidden }) =>
          `Laut Nachweis fehlen ${number(missing)} Felder, nicht gezeigt sind aber nur ${number(hidden)}`,
      },
      'event.erasure': {
        ...unread,
        ok: ({ erasures }) => erasures.map(erasure).join('; '),
        not_pinned: ({ erasures }) =>
          `Nur nach Angabe dieses Nachweises, da kein Schlüssel des Logs hinterlegt ist, werden Felder aus diesem Grund nicht gezeigt: ${erasures.map((word) => `${fieldsOf(word)}, ${entryOf(word)}`).join('; ')}`,
        erasure_invalid: (fault) => `Eine Löschung ist nicht belegt: ${erasureFault(fault)}`,
      },
      'event.signature': {
        ...unread,
        ...signed,
        batch_signed: 'Diese Quelle signiert Stapel und nicht einzelne Ereignisse: Es gilt die Signatur des Stapels',
      },
      'event.time': {
        ...unread,
        ok: ({ recordedAt, after, by }) =>
          `Angegebene Aufzeichnung: ${time(recordedAt)}; ${
            after === null
              ? 'kein früherer Anker begrenzt sie'
              : `im Stand des Logs, der am ${time(after)} verankert wurde, noch nicht enthalten`
          }; im Log spätestens ${time(by)}`,
        time_outside: ({ side, recordedAt, bound, tolerance }) =>
          side === 'before'
            ? `Angegebene Aufzeichnung: ${time(recordedAt)}; im Stand des Logs, der mehr als ${number(tolerance)} Sekunden später verankert wurde (${time(bound)}), noch nicht enthalten`
            : `Eine angegebene Zeit liegt mehr als ${number(tolerance)} Sekunden nach dem ${time(bound)}, als die Aufzeichnung bereits im Log stand`,
        time_unbounded: 'Kein von der Blockchain bestätigter Anker begrenzt die Zeit',
      },
      'batch.signature': { ...signed, malformed: parser },
      'batch.inclusion': {
        ...unread,
        ok: ({ index, size }) => `Stelle ${of(index, size)}`,
        place_mismatch: (found) =>
          found.what === 'stream'
            ? 'Ereignis und Stapel gehören zu verschiedenen Strömen'
            : `Ereignis ${number(found.seq)} steht nicht an Stelle ${number(found.index)} eines Stapels, der bei ${number(found.first)} beginnt`,
        path_invalid: 'Der Pfad führt nicht vom Ereignis zur Wurzel im Kopf des Stapels',
      },
      'source.key': {
        ...unread,
        ok: ({ source }) => `Hinterlegt für ${source}`,
        key_mismatch: 'Die Schlüssel im Nachweis sind nicht genau die, mit denen signiert wurde',
        not_pinned: ({ source }) =>
          `Für ${source} ist kein Schlüssel hinterlegt: Dass diese Quelle signiert hat, ist eine Angabe des Log-Betreibers`,
        pin_mismatch: ({ source }) =>
          `Mit einem Schlüssel signiert, der nicht zu den für ${source} hinterlegten gehört`,
        pin_expired:
          'Nach den Ankern davor und danach wurde außerhalb der Zeit signiert, für die der Schlüssel hinterlegt ist',
        pin_time_open:
          'Ob in der Zeit signiert wurde, für die der Schlüssel hinterlegt ist, lässt sich nicht feststellen',
      },
      'source.registration': {
        part_unreadable: 'Es ist nicht gezeigt, dass das Ereignis im Log steht',
        ok: keyFindings,
        not_pinned: 'Kein hinterlegter Schlüssel oder Smart Contract steht für das Log ein, das ihn registriert',
        registration_absent: 'Der Nachweis enthält keine Registrierung des Schlüssels',
        registration_invalid: (fault) => `Eine Registrierung trifft nicht zu: ${registrationFault(fault)}`,
        registration_late: ({ kid, source, entry }) =>
          `Schlüssel ${kid} war vor Eintrag ${number(entry)} nicht für ${source} registriert`,
        registration_gap: (found) =>
          `Zwischen den enthaltenen Registrierungen fehlt mindestens eine; ${keyFindings(found)}`,
        registration_expired: keyFindings,
      },
      'log.inclusion': {
        ...unread,
        ok: ({ index, size, origin }) => `Eintrag ${of(index, size)} in ${origin}`,
        malformed: parser,
        place_mismatch: 'Der Prüfpunkt gehört zu einem anderen Log oder einer anderen Größe',
        path_invalid: 'Der Pfad führt nicht vom Stapel zur Wurzel des Prüfpunkts',
      },
      'log.signature': {
        ok: ({ name, unread }) => `Signiert von ${name}${besides(unread)}`,
        not_pinned: ({ unread }) =>
          `Kein Schlüssel des Logs ${unread.length > 0 ? 'hinterlegt, der sich prüfen lässt' : 'hinterlegt'}${besides(unread)}`,
        signature_invalid: ({ name }) => `Die Signatur des Prüfpunkts durch ${name} ist ungültig`,
        pin_mismatch: ({ origin, signed }) =>
          signed
            ? `Kein hinterlegter Schlüssel heißt ${origin}`
            : 'Keine Signatur des Prüfpunkts stammt von einem hinterlegten Schlüssel',
        malformed: parser,
      },
      anchor: { not_anchored: 'Noch nicht verankert' },
      'anchor.path': {
        ...unread,
        ok: ({ index, size, same }) =>
          same ? `Die Wurzel des Prüfpunkts mit ${number(size)} Einträgen` : `Eintrag ${of(index, size)}`,
        path_invalid: ({ same }) =>
          same
            ? 'Die verankerte Wurzel ist nicht die des Prüfpunkts gleicher Größe'
            : 'Der Pfad führt nicht vom Stapel zur verankerten Wurzel',
      },
      'anchor.contract': {
        ...unasked,
        ...denied,
        ok: ({ contract, chainId, node }) => `${contract} in Blockchain ${chainId}, gelesen über ${node}`,
      },
      'anchor.block': {
        ...unasked,
        ok: ({ block }) => `Block ${block}`,
        block_pruned:
          'Der Knoten hat diesen Block nicht oder nicht mehr; für Wurzel und Zeit steht der Smart Contract selbst ein',
        block_mismatch: blockOf,
      },
      'anchor.final': {
        ...unasked,
        ok: ({ confirmations, needed }) =>
          confirmations === null
            ? 'Die Blockchain hat ihn endgültig bestätigt'
            : `${number(confirmations)} Bestätigungen; verlangt sind ${number(needed)}`,
        not_final: ({ confirmations, needed }) =>
          confirmations === null
            ? 'Die Blockchain hat ihn noch nicht endgültig bestätigt'
            : `Erst ${of(confirmations, needed)} Bestätigungen`,
      },
      'anchor.log': {
        ...unasked,
        ...denied,
        ok: 'Hinterlegt',
        not_pinned: 'Kein Smart Contract hinterlegt',
        other_pinned: 'Gehört nicht zu den hinterlegten',
        pin_mismatch: 'Ein anderer Smart Contract, eine andere Blockchain oder ein anderes Log als hinterlegt',
        succession_invalid: (found) =>
          found.what === 'unreadable'
            ? `Die Erklärung, einem anderen Log nachzufolgen, trifft nicht zu: ${parser(found.refusal)}`
            : found.what === 'other_logs'
              ? 'Die Erklärung der Nachfolge betrifft andere Logs'
              : 'Das Verankerte setzt den letzten unverfälschten Anker des Vorgängers nicht fort',
        succeeded: ({ steps, lies, size, time: at }) =>
          `Folgt nach Angabe des Herausgebers dem hinterlegten Log nach${
            steps === 1 ? '' : ` (über ${number(steps - 1)} weitere)`
          }; der Eintrag liegt ${lies === 'before' ? 'vor' : 'nach'} dessen letztem unverfälschtem Anker (${number(size)} Einträge, ${time(at)})`,
      },
      'anchor.before': {
        ...unasked,
        ...denied,
        ok: ({ size }) => `Der damals verankerte Stand des Logs hatte ${number(size)} Einträge`,
        order_mismatch: 'Der vorherige Anker ist nicht früher, oder er umfasst den Eintrag',
        block_mismatch: blockOf,
      },
    },
    missing: {
      anchor: 'ein Anker: Das Ereignis ist noch nicht verankert',
      chain: 'eine Auskunft der Blockchain über den Anker',
      source_key: 'ein hinterlegter Schlüssel der Quelle',
      key_time: 'ein Anker, der zeigt, ob der Schlüssel in der hinterlegten Zeit verwendet wurde',
      log_key: 'ein hinterlegter Schlüssel des Logs',
      contract: 'ein hinterlegter, von der Blockchain bestätigter Smart Contract mit Log-Kennung',
    },
    restsOn: {
      source_key: 'der Angabe des Log-Betreibers, welcher Schlüssel der Quelle gehört',
      key_time: 'der Angabe des Log-Betreibers, wann der Schlüssel verwendet wurde',
      log: 'der eigenen Angabe des Nachweises, um welches Log es sich handelt',
      history: 'der Angabe des Log-Betreibers, dass nachträglich nichts umgeschrieben wurde',
      contract: 'der eigenen Angabe des Nachweises, welcher Smart Contract zu befragen ist',
      succession: 'der Angabe des Herausgebers, dass dieses Log dem hinterlegten nachfolgt',
    },
  }
}
