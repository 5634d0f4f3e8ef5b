/** What the page says of bundles. The script has both languages, so that nobody loads either who brings a proof. */
import { type BundlePhrases, bundleEnglish, conditionsOf } from '@killick/sdk/words'
import type { Printer } from '../../shared/print.ts'

const pair = (first: string, second: string): readonly [string, string] => [first, second]

export type BundleWords = ReturnType<typeof english>

export function english({ number, time, list }: Printer) {
  const count = (n: number, one: string, many = `${one}s`): string => `${number(n)} ${n === 1 ? one : many}`
  const phrases: BundlePhrases = bundleEnglish({ number, time })
  const means = phrases.completeness
  return {
    phrases,
    reading: 'Checking the bundle…',
    read: (events: number, percent: number) => `${count(events, 'event')} checked, ${number(percent)} % read`,
    stop: 'Stop',
    stopped: pair('Stopped', 'Nothing is said of a bundle that was not read to its end.'),
    unreadable: pair('This is not a bundle that can be read', 'Nothing was checked'),
    gone: pair('The file could not be read', 'It was moved or changed while it was read. Choose it again.'),
    genuine: {
      yes: (isPartial: boolean) =>
        pair(
          'Everything in it is genuine',
          `${isPartial ? 'What it shows of each event' : 'Every event'} is exactly what was recorded`,
        ),
      since: (chain: string) => `, and nobody has changed any since ${chain} holds it.`,
      claim: ' This shows who said so and when, not that it is so.',
      open: (missing: readonly string[]) =>
        pair(
          'It holds together, but is it genuine?',
          `Nothing in it contradicts itself. To tell, it lacks ${list(missing)}.`,
        ),
      no: (n: number) =>
        pair('This bundle is not genuine', `${count(n, 'thing')} in it ${n === 1 ? 'does' : 'do'} not hold.`),
    },
    complete: {
      stream: pair('And it is everything', means.complete.stream),
      source: pair('And it is everything', means.complete.source),
      incomplete: (n: number) => pair('It is not everything', means.incomplete(n)),
      dropped: (n: number) =>
        pair('It is not everything: a part was dropped', `${phrases.dropped.found(n)} ${phrases.dropped.nothingElse}`),
      open: pair('Nobody can say how far it reaches', means.open),
      index: (origin: string | null) => pair('Everything, as the index says', means.as_index_says(origin)),
      unknown: pair('Not judged', means.not_judged),
      onCondition: 'That holds under the log’s own checkpoint; whose log it is has not been shown.',
      missing: 'Missing',
      more: (n: number) => `and ${number(n)} more`,
    },
    silent: {
      headline: 'A source was silent',
      reason: (n: number, pairs: number, streams: number) =>
        `${phrases.silence.found(n)}, ${phrases.silence.basis(pairs, streams)}.`,
      title: 'When nothing was said',
      fact: 'Promised signs of life',
      none: (pairs: number, streams: number) =>
        `All kept that the registrations in it promise, ${phrases.silence.basis(pairs, streams)}`,
    },
    erasures: 'What was erased',
    dropped: 'What was dropped',
    faults: 'What does not hold',
    facts: {
      title: 'What is in it',
      claims: 'What it claims, and what must not be believed',
      of: 'It says it holds',
      events: 'Events',
      registrations: (n: number) => ` and ${count(n, 'registration')} of keys`,
      log: 'From the log',
      size: (entries: number, size: number) => `, ${count(entries, 'entry', 'entries')} of ${number(size)}`,
      sources: 'Recorded by',
      signatures: 'Signatures',
      verified: (n: number) => `${number(n)} verified`,
      anchors: 'Anchors',
      held: (n: number, of: number, notFinal: number) =>
        `${number(n)} of ${number(of)} confirmed by the chain${notFinal > 0 ? `, ${number(notFinal)} of them not final yet` : ''}`,
      newest: (iso: string, chain: string) => `, the newest at ${time(iso)} on ${chain}`,
      made: 'Said to be made',
      from: ' from ',
      forPeople: 'Also in the file',
      notChecked: (names: string) => `${names}: for people; nobody has signed them, and nothing here rests on them`,
    },
    test: (chain: string) =>
      `The anchors are on ${chain}, and whoever runs that chain can rewrite it: good for trying this out, no proof to anyone else.`,
    entry: (n: number) => `entry ${number(n)}`,
    line: (n: number) => `line ${number(n)}`,
  }
}

export function german({ number, time, list }: Printer): BundleWords {
  const count = (n: number, one: string, many: string): string => `${number(n)} ${n === 1 ? one : many}`
  const range = (first: number, last: number) =>
    first === last ? number(first) : `${number(first)} bis ${number(last)}`
  const places = ({ first, last, stream, source }: { first: number; last: number; stream: string; source: string }) =>
    `${first === last ? 'Ereignis' : 'Ereignisse'} ${range(first, last)} des Stroms ${stream} von ${source}`
  const phrases: BundlePhrases = {
    scope(scope) {
      if (scope.kind === 'stream') return places(scope)
      if (scope.kind === 'search') return `was der Index findet zu ${conditionsOf(scope)}`
      const { source, from, to, since, until } = scope
      const period = [since && `von ${time(since)}`, until && `bis ${time(until)}`].filter(Boolean).join(' ')
      return `jedes Ereignis von ${source} in den Einträgen ${number(from)} bis vor ${number(to)} des Logs${period && ` (${period})`}`
    },
    gap: (gap) =>
      gap.what === 'entries'
        ? `${gap.first === gap.last ? 'Eintrag' : 'Einträge'} ${range(gap.first, gap.last)} des Logs`
        : places(gap),
    reasons: {
      malformed: 'ist nicht, wie es sein muss, oder abgeschnitten',
      header_invalid: 'enthält einen Kopf eines Stapels, der nicht lesbar ist',
      event_invalid: 'enthält ein Ereignis, das nicht lesbar ist',
      place_mismatch: 'enthält etwas, das dort nicht stehen kann',
      chain_broken: 'enthält ein Ereignis, das nicht auf das davor folgt',
      stream_forked: 'enthält ein zweites Ereignis für einen Platz eines Stroms',
      batch_incomplete: 'enthält weniger Ereignisse eines Stapels, als sein Kopf sagt',
      batch_root_mismatch: 'enthält Ereignisse, die nicht die des signierten Stapels sind',
      log_root_mismatch: 'ergibt nicht die Wurzel des Checkpoints',
      registration_invalid: 'enthält eine Registrierung, die nicht zählt',
      key_unregistered: 'enthält eine Signatur mit einem Schlüssel, den das Log davor nicht registriert',
      pin_mismatch: 'enthält eine Signatur mit einem anderen als dem festgelegten Schlüssel',
      pin_expired: 'enthält eine Signatur aus einer Zeit, für die der Schlüssel nicht festgelegt ist',
      signature_invalid: 'enthält eine Signatur, die nicht passt',
      erasure_invalid: 'sagt, etwas sei gelöscht worden, und das Log sagt es nicht',
      note_invalid: 'enthält einen Checkpoint, den der Schlüssel des Logs nicht signiert hat oder der nicht lesbar ist',
      anchor_mismatch: 'nennt einen Anker, der nicht zu diesen Einträgen gehört',
      anchor_denied: 'nennt einen Anker, den die Blockchain nicht hat',
      trailer_mismatch: 'passt nicht zu den Dateien davor',
    },
    completeness: {
      complete: {
        stream: 'Jeder Platz des Stroms ist besetzt, und jedes Ereignis folgt auf das davor.',
        source: 'Alle Einträge des Logs in diesem Bereich sind da, und mit ihnen jedes Ereignis der Quelle.',
      },
      incomplete: (n) => `${count(n, 'Lücke', 'Lücken')} in dem, was es zu enthalten angibt.`,
      absent: (events, entries) =>
        `Keine Löschung darin nennt, was fehlt: ${[
          ...(events > 0 ? [count(events, 'Ereignis', 'Ereignisse')] : []),
          ...(entries > 0 ? [`${count(entries, 'Eintrag', 'Einträge')} des Logs`] : []),
        ].join(' und ')}.`,
      open: 'Im Bereich fehlt nichts, aber bestätigte Anker der festgelegten Logs zeigen nicht, dass er bis zu den verlangten Zeiten reicht.',
      notReached: 'Bestätigte Anker der festgelegten Logs zeigen nicht, dass es bis zu den verlangten Zeiten reicht.',
      as_index_says: (origin) =>
        `Diese Ereignisse hat ${origin ?? 'der Dienst'} gefunden. Dass es keine anderen gibt, sagt er selbst, und nichts hier kann es zeigen.`,
      not_judged: 'Etwas darin hält nicht stand; so lässt sich nicht sagen, was fehlt.',
      after: (iso) => `Nichts davon war im Stand des Logs, den der letzte Anker davor verankert hat: ${time(iso)}.`,
      by: (iso) => `Alles war im Log bei dem Anker, der es abdeckt: ${time(iso)}.`,
      head: ({ chainId, logId, size, at }) =>
        `Wie weit das festgelegte Log ${logId.slice(0, 10)}… war, zeigt kein Anker darin; die Blockchain ${chainId} selbst sagt, dass bis ${time(at)} nicht mehr als ${count(size, 'Eintrag', 'Einträge')} davon verankert ${size === 1 ? 'war' : 'waren'}.`,
      notEnded: (n, of) =>
        `${number(n)} von ${count(of, 'Strom', 'Strömen')} ${n === 1 ? 'ist' : 'sind'} nicht beendet: Was ${n === 1 ? 'sein Rekorder noch hält' : 'ihre Rekorder noch halten'}, kommt später ins Log.`,
    },
    dropped: {
      found: (n) =>
        `${count(n, 'Ereignis wurde', 'Ereignisse wurden')} nach Aufbewahrungsfristen ganz gelöscht, wie das Log des Prüfprotokolls sagt. Ob die Fristen um waren, sagt ein Audit.`,
      nothingElse: 'Sonst fehlt nichts.',
      one: ({ logIndex, at, policy, ...part }) =>
        `${places(part)}, wie Log-Eintrag ${number(logIndex)} sagt, vom ${time(at)}: Frist ${policy.id}, Fassung ${policy.version}`,
    },
    fields: {
      erased: (n) =>
        `${count(n, 'Ereignis hat', 'Ereignisse haben')} Felder durch Löschungen verloren, die das Log anordnet.`,
      expired: (n) =>
        `Bei ${count(n, 'Ereignis', 'Ereignissen')} sind Felder abgelaufen, nach Fristen, die das Log nennt.`,
      hidden: (n) =>
        `${count(n, 'Ereignis zeigt', 'Ereignisse zeigen')} nicht alle Felder, und nichts hier sagt, warum: jemand hat sie verborgen, oder das Prüfprotokoll hat sie verloren.`,
      undecided: (n) =>
        `${count(n, 'Ereignis zeigt', 'Ereignisse zeigen')} vielleicht nicht alle Felder: die Quelle fügt Prüfsummen hinzu, die für keines stehen, darum kann es niemand sagen.`,
      one: ({ logIndex, at, reason, legalBasis, order, events, policy, confirmed }) =>
        `${policy ? 'abgelaufen' : 'gelöscht'} bei ${count(events, 'Ereignis', 'Ereignissen')} durch Log-Eintrag ${number(logIndex)}, ${time(at)}${
          policy ? `, Frist ${policy.id}, Fassung ${policy.version}` : order === null ? '' : `, Anordnung ${order}`
        }${confirmed ? `, angeordnet von ${confirmed.orderedBy}, bestätigt von ${confirmed.confirmedBy}` : ''}${legalBasis === null ? '' : ` (${legalBasis})`}: ${reason}`,
    },
    unanchored: (n) =>
      `${count(n, 'Ereignis ist', 'Ereignisse sind')} in keinem bestätigten Anker, der hier zählt: Dass das Log ${n === 1 ? 'es' : 'sie'} behält, sagt nur, wer seinen Schlüssel hat.`,
    keysOutside: {
      found: (n) =>
        `${number(n)}-mal hat ein Schlüssel außerhalb der Zeit signiert, für die ihn das Log registriert, wie Anker zeigen.`,
      one: ({ logIndex, source, kid }) => `Schlüssel ${kid} von ${source} bei Log-Eintrag ${number(logIndex)}`,
    },
    silence: {
      found: (n) => `${number(n)}-mal sagte ein Strom länger nichts, als seine Quelle versprochen hat`,
      basis: (pairs, streams) =>
        `nach den Uhren der Rekorder, in ${count(pairs, 'Paar', 'Paaren')} aufeinander folgender Ereignisse aus ${count(streams, 'Strom', 'Strömen')}`,
      one({ source, stream, seq, from, to, promised, maxAge, maxAhead }) {
        const end = to === null ? 'zum Ende der verlangten Zeit, soweit bis dahin etwas da war' : time(to)
        const within = (seconds: number | null) =>
          seconds === null ? 'beliebig weit' : `höchstens ${number(seconds)} s`
        const bounds =
          maxAge === null && maxAhead === null
            ? 'das Prüfprotokoll nimmt jede Zeit von ihr an'
            : `das Prüfprotokoll nimmt Zeiten von ihr an, die ${within(maxAge)} hinter und ${within(maxAhead)} vor seiner eigenen Uhr liegen`
        return `Strom ${stream} von ${source}, nach Ereignis ${number(seq)}: von ${time(from)} bis ${end}; versprochen waren ${number(promised)} s; ${bounds}`
      },
    },
  }
  const means = phrases.completeness
  return {
    phrases,
    reading: 'Das Bündel wird geprüft …',
    read: (n, percent) => `${count(n, 'Ereignis', 'Ereignisse')} geprüft, ${number(percent)} % gelesen`,
    stop: 'Anhalten',
    stopped: pair('Angehalten', 'Von einem Bündel, das nicht zu Ende gelesen wurde, wird nichts gesagt.'),
    unreadable: pair('Das ist kein lesbares Bündel', 'Es wurde nichts geprüft'),
    gone: pair(
      'Die Datei konnte nicht gelesen werden',
      'Sie wurde verschoben oder verändert, während sie gelesen wurde. Wählen Sie sie noch einmal.',
    ),
    genuine: {
      yes: (isPartial) =>
        pair(
          'Alles darin ist echt',
          `${isPartial ? 'Was es von jedem Ereignis zeigt,' : 'Jedes Ereignis'} ist genau das, was aufgezeichnet wurde`,
        ),
      since: (chain) => `, und niemand hat seit der Verankerung (${chain}) eines davon verändert.`,
      claim: ' Das zeigt, wer es wann gesagt hat, nicht, dass es so ist.',
      open: (missing) =>
        pair(
          'In sich stimmig, aber ist es echt?',
          `Nichts darin widerspricht sich. Zum Urteil fehlt: ${list(missing)}.`,
        ),
      no: (n) =>
        pair(
          'Dieses Bündel ist nicht echt',
          `${count(n, 'Stelle', 'Stellen')} darin ${n === 1 ? 'hält' : 'halten'} nicht stand.`,
        ),
    },
    complete: {
      stream: pair('Und es ist alles', means.complete.stream),
      source: pair('Und es ist alles', means.complete.source),
      incomplete: (n) => pair('Es ist nicht alles', means.incomplete(n)),
      dropped: (n) =>
        pair(
          'Es ist nicht alles: ein Teil wurde gelöscht',
          `${phrases.dropped.found(n)} ${phrases.dropped.nothingElse}`,
        ),
      open: pair('Niemand kann sagen, wie weit es reicht', means.open),
      index: (origin) => pair('Alles, sagt der Index', means.as_index_says(origin)),
      unknown: pair('Nicht beurteilt', means.not_judged),
      onCondition: 'Das gilt unter dem Checkpoint des Logs; wessen Log das ist, hat sich nicht gezeigt.',
      missing: 'Es fehlt',
      more: (n) => `und ${number(n)} weitere`,
    },
    silent: {
      headline: 'Eine Quelle hat geschwiegen',
      reason: (n, pairs, streams) => `${phrases.silence.found(n)}, ${phrases.silence.basis(pairs, streams)}.`,
      title: 'Wann nichts gesagt wurde',
      fact: 'Versprochene Lebenszeichen',
      none: (pairs, streams) =>
        `Alle eingehalten, die Registrierungen darin versprechen, ${phrases.silence.basis(pairs, streams)}`,
    },
    erasures: 'Was gelöscht wurde',
    dropped: 'Ereignisse, die ganz gelöscht wurden',
    faults: 'Was nicht standhält',
    facts: {
      title: 'Was darin ist',
      claims: 'Was es behauptet, und was man nicht glauben darf',
      of: 'Inhalt nach eigener Angabe',
      events: 'Ereignisse',
      registrations: (n) => ` und ${count(n, 'Registrierung', 'Registrierungen')} von Schlüsseln`,
      log: 'Aus dem Log',
      size: (entries, size) => `, ${count(entries, 'Eintrag', 'Einträge')} von ${number(size)}`,
      sources: 'Aufgezeichnet von',
      signatures: 'Signaturen',
      verified: (n) => `${number(n)} geprüft`,
      anchors: 'Anker',
      held: (n, of, notFinal) =>
        `${number(n)} von ${number(of)} von der Blockchain bestätigt${notFinal > 0 ? `, davon ${number(notFinal)} noch nicht endgültig` : ''}`,
      newest: (iso, chain) => `, der neueste vom ${time(iso)} (${chain})`,
      made: 'Hergestellt nach eigener Angabe',
      from: ' aus ',
      forPeople: 'Außerdem in der Datei',
      notChecked: (names) => `${names}: für Menschen; niemand hat sie signiert, und nichts hier stützt sich darauf`,
    },
    test: (chain) =>
      `Die Anker stehen in einer Blockchain, die ihr Betreiber umschreiben kann (${chain}): gut zum Ausprobieren, für andere kein Nachweis.`,
    entry: (n) => `Eintrag ${number(n)}`,
    line: (n) => `Zeile ${number(n)}`,
  }
}
