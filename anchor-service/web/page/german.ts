/** German. */
import type { ErrorCode, NoAnswer } from '@killick/sdk/verify'
import type { CollectedFrom } from '../shared/collected.ts'
import type { Language } from '../shared/language.ts'
import { printer, upToTenth } from '../shared/print.ts'
import { germanVerdict } from './german-verdict.ts'

const { time, number, list } = printer('de-DE')

const count = (n: number, one: string, many: string): string => `${number(n)} ${n === 1 ? one : many}`

const SHOWN_BY: Record<CollectedFrom['auth'], string> = {
  key: 'mit einem Schlüssel',
  certificate: 'mit einem Zertifikat',
  socket: 'auf derselben Maschine',
  hmac: 'mit einem geteilten Geheimnis',
  file: 'in einer Datei',
  none: 'ohne sich auszuweisen',
}

/** Names without an article: they stand in brackets, where German asks for no case. */
const CHAINS: Record<number, string> = {
  1: 'Ethereum',
  10: 'OP Mainnet',
  137: 'Polygon',
  8453: 'Base',
  42161: 'Arbitrum One',
  11155111: 'Sepolia-Testnetz',
  560048: 'Hoodi-Testnetz',
}

/** What can be wrong with a document that is read here. */
type Read =
  | Extract<
      ErrorCode,
      `${'json' | 'jws' | 'event' | 'disclosure' | 'note' | 'vkey' | 'checkpoint' | 'proof'}_${string}`
    >
  | 'batch_header_invalid'
  | 'key_invalid'
  | 'key_unknown'
  | 'registration_invalid'
  | 'signature_invalid'
  | 'trust_invalid'

const CODES: { readonly [C in Read]: string } = {
  json_invalid: 'Der Text ist kein JSON',
  json_duplicate_member: 'Ein JSON-Objekt nennt denselben Namen zweimal',
  json_lone_surrogate: 'Eine Zeichenkette enthält ein halbes Zeichen, das in UTF-8 nicht darstellbar ist',
  json_number_inexact: 'Eine Zahl ist nicht exakt darstellbar',
  json_too_deep: 'Das JSON ist zu tief verschachtelt',
  jws_malformed: 'Eine Signatur hat nicht die vorgeschriebene Form (JWS)',
  jws_header_invalid: 'Der Kopf einer Signatur hat nicht die vorgeschriebene Form (JWS)',
  jws_alg_not_allowed: 'Das Signaturverfahren ist nicht zugelassen',
  key_invalid: 'Der Schlüssel ist kein gültiger JWK eines zugelassenen Verfahrens',
  key_unknown: 'Für diese Quelle ist kein solcher Schlüssel registriert',
  signature_invalid: 'Die Signatur passt nicht zum genannten Schlüssel',
  event_malformed: 'Der Text ist kein Ereignis in der vorgeschriebenen Form',
  event_payload_invalid: 'Im signierten Teil des Ereignisses fehlt etwas, oder es steht darin etwas Unbekanntes',
  event_incomplete: 'Das Ereignis legt nicht alles offen, was es offenlegen muss',
  event_too_large: 'Das Ereignis ist größer als 262.144 Byte',
  disclosure_malformed: 'Ein offengelegtes Feld hat nicht die vorgeschriebene Form',
  disclosure_unmatched: 'Ein offengelegtes Feld gehört nicht zum signierten Ereignis',
  disclosure_duplicate: 'Ein Feld ist doppelt offengelegt',
  disclosure_field_invalid: 'Ein offengelegtes Feld hat einen reservierten Namen oder einen unzulässigen Inhalt',
  batch_header_invalid: 'Im Kopf des Stapels fehlt etwas, oder es steht darin etwas Unbekanntes',
  registration_invalid: 'Die Registrierung einer Quelle hat nicht die vorgeschriebene Form',
  note_malformed: 'Der Prüfpunkt ist keine signierte Notiz (C2SP)',
  note_too_many_signatures: 'Der Prüfpunkt trägt mehr als 64 Signaturen',
  note_unverified: 'Keine Signatur des Prüfpunkts stammt von einem bekannten Schlüssel',
  vkey_invalid: 'Der Text ist kein Prüfschlüssel (C2SP vkey)',
  vkey_unsupported: 'Der Prüfschlüssel ist von anderer Art als Ed25519',
  checkpoint_malformed: 'Der Text ist kein Prüfpunkt (C2SP)',
  proof_malformed: 'Das Dokument ist kein Nachweis der Form killick-proof/1',
  proof_too_large: 'Der Nachweis ist größer als 1 MiB',
  trust_invalid: 'Eine hinterlegte Angabe (Schlüssel, Smart Contract oder Log-Kennung) hat nicht die richtige Form',
}

const isRead = (code: ErrorCode): code is Read => code in CODES
const parser = ({ code }: { readonly code: ErrorCode }): string =>
  isRead(code) ? CODES[code] : 'Die Eingabe hat nicht die vorgeschriebene Form'

function silence(_said: string, fault: NoAnswer | null): string {
  switch (fault?.what) {
    case undefined:
      return 'keine verwertbare Antwort'
    case 'redirect':
      return 'Der Knoten leitet weiter; dem wird nicht gefolgt'
    case 'unreachable':
      return 'Der Knoten ist nicht erreichbar oder antwortet nicht in JSON'
    case 'status':
      return `Der Knoten antwortet mit dem HTTP-Status ${fault.status}`
    case 'too_large':
      return `Der Knoten antwortet mit mehr als ${number(fault.bytes)} Byte`
    case 'timeout':
      return `Der Knoten hat nicht innerhalb von ${number(fault.seconds)} s geantwortet`
    case 'refused':
      return `Der Knoten verweigert ${fault.method}: ${fault.words}`
    case 'nonsense':
      return `Die Antwort des Knotens auf ${fault.method} ist nicht verwertbar`
    case 'behind':
      return `Der Knoten ist erst bei Block ${fault.height}, der Anker steht in Block ${fault.block}`
    case 'other_chain':
      return `Der Knoten gehört zur Blockchain ${fault.chainId}, der Anker liegt in ${fault.wanted}`
    case 'none':
      return `Es wurde kein Knoten der Blockchain ${fault.wanted} befragt`
  }
}

const pair = (first: string, second: string): readonly [string, string] => [first, second]

export const GERMAN: Language = {
  tag: 'de',
  name: 'Deutsch',
  time,
  number,
  list,
  verdict: germanVerdict({ time, number, parser, silence }),
  chain: (id, isLocal) => (isLocal ? 'lokale Testkette' : (CHAINS[id] ?? `Blockchain ${id}`)),
  rungs: {
    pinned: 'von Ihnen hinterlegt',
    word: (whose) => `nach Angabe von ${whose}`,
    unchecked: 'nicht geprüft',
  },
  outcomes: {
    success: 'Erfolgreich',
    failure: 'Gescheitert',
    denied: 'Abgelehnt',
    hidden: 'Ausgang nicht gezeigt',
    none: 'Kein Ausgang aufgezeichnet',
  },
  anonymous: 'unbenannter Stelle',
  parser,
  refusals: {
    empty: 'Die Eingabe ist leer',
    file_size: (mebibytes) => `Der Nachweis ist größer als 1 MiB. Diese Datei hat ${number(upToTenth(mebibytes))} MiB`,
    file_gone:
      'Die Datei ist nicht lesbar: Sie ist ein Ordner, oder sie wurde verschoben oder verändert. Wählen Sie sie noch einmal',
    exported:
      'Das ist ein Export von Ereignissen, jede Zeile mit eigenem Nachweis, und diese Seite prüft immer nur einen. Alle Zeilen prüft der Befehl npx -p @killick/sdk killick verify <Datei> --trust trust.json',
    many_files: 'Das sind mehrere Dateien, und ein Urteil gilt einer. Wählen Sie eine nach der anderen',
    link_cut: 'Der Link ist abgeschnitten oder verändert: Sein Ende ist kein base64url',
    link_changed: 'Der Link ist abgeschnitten oder verändert: Sein Inhalt lässt sich nicht entpacken',
    pinned_log:
      'Ein Smart Contract wird durch die Nummer der Blockchain, seine Adresse (0x und 40 Ziffern) und die Log-Kennung (0x und 64 Ziffern) bestimmt',
    node_url: 'Die Adresse eines Knotens beginnt mit http oder https',
    source_key: 'Der Schlüssel einer Quelle ist ein JWK: {"kty":…}',
  },
  silence,
  summary: {
    genuine: (isPartial, undone) =>
      `${isPartial ? 'Der gezeigte Teil der Aufzeichnung ist echt' : 'Diese Aufzeichnung ist echt'}${
        undone === null ? '' : `: eine ${undone === 'denied' ? 'abgelehnte' : 'gescheiterte'} Handlung`
      }`,
    exactly: (isPartial, chain) =>
      `${isPartial ? 'Das Gezeigte' : 'Der Inhalt'} stimmt genau mit dem überein, was aufgezeichnet wurde${
        chain === null ? '' : `, und ist seit der Verankerung in der Blockchain (${chain}) unverändert`
      }.`,
    notAnchored: (isLogged) =>
      pair(
        'Noch nicht verankert',
        isLogged
          ? 'Die Aufzeichnung ist signiert und steht im Log, doch dessen Wurzel liegt noch in keiner Blockchain: Bis dahin könnte der Betreiber sie noch ersetzen. Später ist ein neuer Nachweis anzufordern.'
          : 'Die Aufzeichnung ist signiert, doch die Wurzel ihres Logs liegt noch in keiner Blockchain, und kein Schlüssel des Logs ist hier hinterlegt: Schlüssel und Log könnte jeder erzeugt haben. Später ist ein neuer Nachweis anzufordern.',
      ),
    asking: 'Die Blockchain wird befragt …',
    waitingFor: (nodes) => `Antwort steht aus: ${list(nodes)}.`,
    notAsked: 'Die Blockchain wurde nicht befragt',
    notAskedWhy: (chain) =>
      `Die Signaturen stimmen. Ob der Anker in der Blockchain steht (${chain}), ist nicht bekannt; weiter unten lässt sich ein Knoten angeben.`,
    unreachable: 'Die Blockchain konnte nicht befragt werden',
    unreachableWhy: (node, why) =>
      `${node === null ? '' : `${node}: `}${why ?? 'Keine Antwort'}. Ein Fehler im Nachweis ist damit nicht festgestellt; ein neuer Versuch oder ein anderer Knoten kann Klarheit bringen.`,
    notPinned: 'In sich stimmig, aber wessen Schlüssel sind das?',
    notPinnedWhy: (chain, missing) =>
      `Seit der Signatur wurde nichts verändert, und der Anker steht in der Blockchain (${chain}). Schlüssel kann jedoch jeder erzeugen: Um die Echtheit festzustellen, fehlt noch: ${list(missing)}.`,
    notFinal: pair(
      'Stimmig, aber noch nicht endgültig',
      'Der Anker steht in der Blockchain, jedoch erst so kurz, dass sein Block noch ersetzt werden könnte. In einigen Minuten ist erneut zu prüfen.',
    ),
    partly: 'Stimmig, soweit geprüft werden konnte',
    partlyWhy: (open, first) => `${count(open, 'Prüfung war', 'Prüfungen waren')} nicht möglich: ${first}.`,
    failed: (reason, detail) => `${reason} ${detail}.`,
    caveats: {
      missing: (n) =>
        n === 1
          ? 'Allein nach Angabe dieses Nachweises enthält das Prüfprotokoll ein Feld dieses Ereignisses nicht mehr: Es wurde entfernt.'
          : `Allein nach Angabe dieses Nachweises enthält das Prüfprotokoll ${number(n)} Felder dieses Ereignisses nicht mehr: Sie wurden entfernt.`,
      before: (recordedAt, after) =>
        `Als Zeit der Aufzeichnung ist ${time(recordedAt)} angegeben; in dem Stand des Logs, der am ${time(after)} verankert wurde, war sie noch nicht enthalten.`,
      after: (by) => `Eine angegebene Zeit liegt nach dem ${time(by)}; da stand die Aufzeichnung bereits im Log.`,
      keys: (n, source) =>
        `Das Log hat ${number(n)} Schlüssel für ${source ?? 'diese Quelle'} registriert; welche und seit wann, steht weiter unten.`,
      pinTime: 'Ob der Schlüssel in der Zeit benutzt wurde, für die er hinterlegt ist, lässt sich nicht feststellen.',
      testChain: (chain) =>
        `Der Anker liegt in einer Testumgebung (${chain}). Wer sie betreibt, kann sie umschreiben: zum Ausprobieren geeignet, gegenüber Dritten kein Nachweis.`,
    },
  },
  failures: {
    form: pair('Diese Aufzeichnung wurde verändert', 'Ihr Inhalt ist nicht der, der signiert und aufgezeichnet wurde.'),
    signature: pair(
      'Diese Aufzeichnung wurde verändert',
      'Die Signatur des Systems, das sie aufgezeichnet haben soll, passt nicht.',
    ),
    inclusion: pair(
      'Diese Aufzeichnung wurde verändert',
      'Sie steht nicht an der angegebenen Stelle unter den Ereignissen, mit denen sie aufgezeichnet wurde.',
    ),
    key: pair(
      'Mit einem fremden Schlüssel signiert',
      'Der Schlüssel der Signatur gehört nicht zu denen, die für diese Quelle hinterlegt sind.',
    ),
    log: pair(
      'Diese Aufzeichnung gehört nicht zu diesem Log',
      'Der Pfad führt nicht von der Aufzeichnung zur Wurzel des Logs.',
    ),
    checkpoint: pair(
      'Nicht von diesem Log signiert',
      'Der Prüfpunkt des Logs ist nicht mit einem Schlüssel signiert, der für das Log hinterlegt ist.',
    ),
    registration: pair(
      'Der Schlüssel war bei seiner Verwendung nicht registriert',
      'Was das Log über den Schlüssel der Signatur aussagt, trifft nicht zu oder kam erst nach seiner Verwendung hinzu.',
    ),
    before: pair(
      'Die Zeitangabe zu dieser Aufzeichnung trifft nicht zu',
      'Der als vorheriger genannte Anker ist keiner, oder er umfasst die Aufzeichnung bereits.',
    ),
    path: pair(
      'Der Anker umfasst diese Aufzeichnung nicht',
      'Der Pfad führt nicht von der Aufzeichnung zur verankerten Wurzel.',
    ),
    contract: pair(
      'Dieser Anker steht nicht in der Blockchain',
      'Er ist gefälscht, oder sein Block wurde verworfen. Liegt die Verankerung erst Minuten zurück, ist ein neuer Nachweis anzufordern.',
    ),
    block: pair(
      'Der Block ist nicht der im Nachweis genannte',
      'Der Block wurde verworfen, oder der Nachweis wurde verändert. Ein neuer Nachweis ist anzufordern.',
    ),
    place: pair('An falscher Stelle verankert', 'Smart Contract, Blockchain oder Log sind nicht die hinterlegten.'),
    other: pair('Diese Aufzeichnung ist nicht echt', 'Eine Prüfung ist fehlgeschlagen.'),
  },
  banner: {
    claim: ' Das belegt, wer es wann so angegeben hat, nicht aber, dass es zutrifft.',
    undone: (outcome, source) => [
      source,
      ` hat aufgezeichnet, dass dies ${outcome === 'denied' ? 'abgelehnt wurde' : 'nicht gelang'}: Es wurde versucht und kam nicht zustande.`,
    ],
    hidden: 'Ob es gelang, wird nicht gezeigt: Es kann gescheitert oder abgelehnt worden sein.',
    toTrust: 'Knoten und Schlüssel angeben',
    spoken: (headline, ending, reason, caveats) =>
      `${headline}. ${ending === '' ? '' : `${ending}. `}${reason} ${caveats.join(' ')}`,
  },
  facts: {
    title: 'Aufgezeichneter Inhalt',
    claims: 'Angaben, denen nicht zu trauen ist',
    unreadable:
      'Der Inhalt dieses Nachweises ist nicht lesbar, weil er nicht mit dem übereinstimmt, was signiert wurde.',
    hidden: 'in diesem Nachweis nicht gezeigt',
    gone: 'nicht mehr vorhanden oder nie aufgezeichnet',
    sealed: 'jemand oder etwas, dessen Name versiegelt ist',
    what: 'Was',
    tried: 'Versucht',
    notDone: ' und nicht ausgeführt',
    outcome: 'Ausgang',
    who: 'Wer',
    target: 'Gegenstand',
    noTarget: 'nichts Bestimmtes',
    recordedBy: 'Aufgezeichnet von',
    inLog: ' im Log ',
    onBehalfOf: 'Im Auftrag von',
    handedIn: (emitter, auth) => [
      ', übergeben von ',
      emitter,
      ` ${SHOWN_BY[auth]}; signiert hat der Sammler, nicht sie`,
    ],
    happened: 'Zeitpunkt des Vorgangs',
    says: (source) => [' nach Angabe von ', source],
    recorded: 'Aufgezeichnet',
    clockOf: ' nach der Uhr von ',
    notYet: 'Noch nicht im Log',
    asAnchored: ' im damals verankerten Stand',
    inLogBy: 'Im Log seit spätestens',
    claimsAnchor: 'Angegebener Anker',
    inBlock: (block, chain) => ` in Block ${block} (${chain})`,
    notShown: 'Nicht gezeigt',
    hiddenFields: (n) => `${count(n, 'Feld', 'Felder')}, in diesem Nachweis nicht enthalten`,
    lost: 'Verloren',
    lostFields: (n) =>
      `${count(n, 'Feld', 'Felder')}, nach Angabe dieses Nachweises im Prüfprotokoll nicht mehr vorhanden`,
    erased: 'Gelöscht',
    erasedFields: (n, at, order) =>
      `${count(n, 'Feld', 'Felder')}, am ${time(at)}${order === null ? '' : `, Anordnung ${order}`}`,
    expired: 'Abgelaufen',
    expiredFields: (n, at, policy) => `${count(n, 'Feld', 'Felder')}, am ${time(at)}, nach der Frist ${policy}`,
    keyRegistered: 'Schlüssel registriert',
    registration: (entry, anchoredAt, notBefore, notAfter) =>
      [
        `mit Log-Eintrag ${number(entry)}`,
        ...(anchoredAt === null ? [] : [`verankert seit ${time(anchoredAt)}`]),
        ...(notBefore === null ? [] : [`gültig ab ${time(notBefore)}`]),
        ...(notAfter === null ? [] : [`gültig bis ${time(notAfter)}`]),
      ].join(', '),
    more: (n) => `und ${number(n)} weitere`,
  },
  standing: {
    title: 'Worauf das Ergebnis beruht',
    kinds: {
      sourceKeys: 'der Schlüssel der Quelle',
      logKeys: 'der Schlüssel des Logs',
      logs: 'der Smart Contract mit seinem Log',
    },
    pinned: (kinds) => `Von Ihnen hinterlegt: ${list(kinds)}.`,
    publisher: (who, host, kinds) => [
      'Nach Angabe von ',
      who,
      `, Herausgeber dieser Seite${host === '' ? '' : ` unter ${host}`}: ${list(kinds)}. Was Sie aus anderer Quelle kennen und unten hinterlegen, tritt an die Stelle dieser Angabe.`,
    ],
    log: (log, source) => [
      'Nach Angabe des Logs ',
      log,
      ', das die Aufzeichnung unter diesem Namen aufgenommen hat: dass der Schlüssel zu ',
      source,
      ' gehört.',
    ],
    restsOn: (what) => `Das Ergebnis beruht auf ${what}.`,
    nodes: (nodes, requests) => [
      'Die Blockchain wurde befragt über ',
      nodes,
      `${requests > 0 ? ` (${count(requests, 'Anfrage', 'Anfragen')})` : ''}. Dieser Knoten könnte falsche Angaben machen; zur Kontrolle lässt sich ein anderer befragen.`,
    ],
    meaning: (genuine) => [
      genuine('Echt'),
      ' bedeutet: Dies wurde unter diesem Namen spätestens zu dieser Zeit signiert und ist seither unverändert. Es bedeutet nicht, dass die Angaben zutreffen.',
    ],
  },
  record: {
    title: 'Weitere Angaben der Aufzeichnung',
    nothing: 'nichts',
    empty: 'leer',
    sealed: (key) => `versiegelt: Nur wer den Schlüssel ${key} hat, kann es lesen, falls es nicht gelöscht wurde`,
    changes: 'Änderungen',
    moreChanges: 'Weitere Änderungen',
    columns: ['Geändert', 'Vorher', 'Nachher'],
  },
  text: {
    unseen: 'ein Zeichen, das nicht gezeichnet wird',
    longer: (n) => ` … ${number(n)} weitere Zeichen`,
    mixes: (alphabets) => {
      const names = { Latin: 'lateinische', Greek: 'griechische', Cyrillic: 'kyrillische' }
      return `mischt ${list(alphabets.map((alphabet) => names[alphabet]))} Buchstaben`
    },
  },
  copy: {
    copy: (what) => `${what} kopieren`,
    copied: (what) => `${what} kopiert`,
    refused: 'Der Browser lässt das Kopieren hier nicht zu',
  },
  header: {
    question: 'Ist diese Aufzeichnung echt?',
    toChecks: 'Zu den Prüfungen springen',
    toTrust: 'Zu den Angaben springen, wem vertraut wird',
    language: 'Sprache',
    noWords: (name) => `${name} konnte nicht geladen werden.`,
  },
  intake: {
    first: 'Nachweis vorlegen',
    another: 'Weiteren Nachweis prüfen',
    file: 'Nachweis oder Bündel auf diese Seite ziehen oder Datei auswählen: ',
    paste: 'Oder den Text einfügen:',
    check: 'Diesen Text prüfen',
    noBundles: 'Der Teil dieser Seite, der Bündel prüft, konnte nicht geladen werden.',
  },
  welcome: {
    title: 'Ist diese Aufzeichnung echt?',
    text: 'Ein Killick-Nachweis zeigt, dass etwas aufgezeichnet wurde, von wem und wann, und dass es seither niemand verändert hat: auch nicht das Unternehmen, das das Prüfprotokoll führt. Diese Seite prüft ihn in Ihrem Browser. Dabei wird nichts übermittelt, ausgenommen Anfragen zum Anker, je Anker etwa sechs, an einen Knoten der Blockchain, den Sie wählen oder den der Herausgeber dieser Seite genannt hat.',
  },
  refused: {
    input: 'Das ist kein lesbarer Nachweis',
    inputWhy: (why, code) => `${why} (${code}). Geprüft wurde nichts.`,
    links: {
      revoked: pair(
        'Dieser Link wurde widerrufen',
        'Wer ihn geteilt hat, hat ihn zurückgezogen. Über das Gezeigte sagt das nichts aus: Ein neuer Link oder der Nachweis als Datei ist dort zu erfragen.',
      ),
      expired: pair(
        'Dieser Link ist abgelaufen',
        'Er war nur bis zu einem bestimmten Tag gültig. Über das Gezeigte sagt das nichts aus: Ein neuer Link oder der Nachweis als Datei kann erfragt werden.',
      ),
      dropped: pair(
        'Das Ereignis hinter diesem Link wird nicht mehr aufbewahrt',
        'Seine Frist ist abgelaufen: Das Prüfprotokoll hat es gelöscht, nach einer Aufbewahrungsregel, die darin steht. Über das Gezeigte sagt das nichts aus. Ein früher erstellter Nachweis kann als Datei weiterhin hier geprüft werden.',
      ),
      altered: pair(
        'Das Ereignis hinter diesem Link ist nicht lesbar',
        'Was der Dienst davon bereithält, ist nicht das, was er angenommen hat: Es wurde dort verändert. Ein früher erstellter Nachweis kann als Datei weiterhin hier geprüft werden.',
      ),
      unknown: pair(
        'Dieser Link führt ins Leere',
        'Einen solchen Link gibt es hier nicht. Möglicherweise wurde er beim Kopieren abgeschnitten.',
      ),
      limited: pair(
        'Zu viele Versuche',
        'Aus Ihrem Netz wird der Dienst zu häufig befragt. Nach einer Minute lässt sich der Link erneut öffnen.',
      ),
      unreachable: pair(
        'Der Dienst ist nicht erreichbar',
        'Der Nachweis hinter diesem Link konnte nicht abgerufen werden. Ein Nachweis, der als Datei vorliegt, kann hier ohne den Dienst geprüft werden.',
      ),
    },
  },
  alone: {
    title: 'Unabhängig von uns prüfen',
    text: 'Dieser Seite zu vertrauen ist nicht nötig. Der gespeicherte Nachweis lässt sich mit einem Programm auf dem eigenen Rechner und einem beliebigen Knoten der Blockchain prüfen:',
    command: 'Befehl',
    nobody: (options) => [
      'Nicht hinterlegt ist hier ',
      options,
      ': Diese Angaben sind aus einer vertrauenswürdigen Quelle zu ergänzen.',
    ],
    publisher:
      'Schlüssel und Adressen darin sind Angaben des Herausgebers; an ihre Stelle gehören solche, die Sie aus anderer Quelle kennen.',
    save: 'Nachweis speichern',
    protocol: 'Wie geprüft wird: die Spezifikation (englisch)',
  },
  checks: {
    title: (n) => count(n, 'Prüfung', 'Prüfungen'),
    named: {
      'source.key': 'Der Schlüssel der Quelle ist einer, den der Herausgeber dieser Seite nennt',
      'log.signature':
        'Das Log hat seinen Prüfpunkt signiert, mit einem Schlüssel, den der Herausgeber dieser Seite nennt',
      'anchor.log': 'Smart Contract und Log sind die, die der Herausgeber dieser Seite nennt',
    },
    source: 'Von der Quelle signiert',
    log: 'Im Log enthalten',
    chain: 'In der Blockchain verankert',
    passed: 'bestanden',
    failed: 'fehlgeschlagen',
    skipped: 'nicht geprüft',
    tally: (failed, passed, skipped) =>
      [
        ...(failed > 0 ? [`${number(failed)} fehlgeschlagen`] : []),
        `${number(passed)} bestanden`,
        ...(skipped > 0 ? [`${number(skipped)} nicht geprüft`] : []),
      ].join(', '),
  },
  tamper: {
    title: 'Fälschung erproben',
    text: 'Ein einzelnes Zeichen dieses Nachweises ändern, nur auf dieser Seite, und sehen, ob und wo es bemerkt wird.',
    in: 'Stelle: ',
    change: 'Ein Zeichen ändern',
    restore: 'Wiederherstellen',
    was: 'vorher',
    now: 'jetzt',
    places: {
      time: 'Zeit der Aufzeichnung',
      source: 'aufzeichnendes System',
      signature: 'Signatur des Ereignisses',
      batchPath: 'ein Hash auf dem Weg zur Wurzel des Stapels',
      header: 'signierter Kopf des Stapels',
      logPath: 'ein Hash auf dem Weg zur Wurzel des Logs',
      checkpoint: 'Wurzel im Prüfpunkt des Logs',
      anchorRoot: 'Wurzel in der Blockchain',
      anchorTime: 'Zeit des Ankers',
    },
    field: (name) => `Inhalt: ${name}`,
  },
  path: {
    title: 'Vom Ereignis zum Block',
    text: 'Jeder Hash wird hier aus dem darüber berechnet. Jede Änderung ändert alle Hashes darunter.',
    skip: 'Hashes überspringen',
    passed: 'stimmt',
    failed: 'bricht hier',
    skipped: 'nicht geprüft',
    left: 'mit dem linken Nachbarn',
    right: 'mit dem rechten Nachbarn',
    gives: 'ergibt',
    neighbour: 'Hash des Nachbarn',
    both: 'Hash beider',
    fields: 'Inhalt',
    fieldsShown: (shown, hidden) =>
      `${count(shown, 'Feld', 'Felder')} gezeigt${hidden > 0 ? `, ${number(hidden)} nicht gezeigt` : ''}`,
    unmatched: 'Stimmt nicht mit dem überein, was signiert wurde',
    event: 'Ereignis',
    eventAt: (seq, stream, source) => `Nummer ${number(seq)} im Strom ${stream} von ${source}`,
    signedPart: 'Sein signierter Teil',
    batch: 'Wurzel des Stapels',
    batchOf: (events, index) => `Über ${count(events, 'Ereignis', 'Ereignisse')}, dieses an Stelle ${number(index)}`,
    noHeader: 'Der Kopf ist nicht lesbar',
    entry: 'Kopf des Stapels',
    signedBy: (source) => `Signiert von ${source}`,
    unreadable: 'Nicht lesbar',
    log: 'Wurzel des Logs',
    logOf: (origin, size) => `${origin}, ${count(size, 'Eintrag', 'Einträge')}`,
    block: (block) => `Block ${block}`,
    noBlock: 'Noch kein Block',
    noBlockWhy: 'Die Wurzel des Logs liegt noch in keiner Blockchain',
    hashes: {
      leaf: 'Blatt-Hash',
      root: 'Wurzel',
      anchored: 'verankerte Wurzel',
      transaction: 'Transaktion',
      contract: 'Smart Contract',
      logId: 'Log-Kennung',
    },
  },
  trust: {
    title: 'Wer befragt und wem vertraut wird',
    node: pair(
      'Zu befragender Knoten (JSON-RPC)',
      'Jeder Knoten der Blockchain ist geeignet, über https oder auf diesem Rechner über http. Mehrere, durch Leerzeichen getrennt, werden alle befragt; einer, der verneint, überwiegt die anderen.',
    ),
    pins: 'Schlüssel und Smart Contract hinterlegen',
    pinsWhy:
      'Was hier hinterlegt ist, geht den Angaben des Herausgebers dieser Seite vor. Es sollte aus einer vertrauenswürdigen Quelle stammen: einem Vertrag, einem Briefkopf, der Website des Unternehmens, das das Ereignis aufgezeichnet hat.',
    sourceKey: pair(
      'Schlüssel der Quelle (JWK)',
      'So, wie sein Inhaber ihn veröffentlicht. Einer, oder mehrere als JSON-Array.',
    ),
    logKey: pair('Schlüssel des Logs (vkey)', 'Name+Hash+Schlüssel, so, wie der Betreiber ihn veröffentlicht.'),
    contract: pair(
      'Smart Contract',
      'Nummer der Blockchain, Adresse des Smart Contracts und Log-Kennung, durch Leerzeichen getrennt.',
    ),
    remember: 'Auf diesem Gerät merken',
    again: 'Erneut prüfen',
    forget: 'Alles vergessen',
    checked: 'Geprüft.',
    remembered: 'Geprüft und auf diesem Gerät gemerkt.',
    notKept: 'Geprüft. Dieser Browser speichert auf diesem Gerät nichts.',
    forgotten: 'Vergessen.',
    publisher: (who, nodes) => [
      'Bleibt das Feld leer, wird der Knoten befragt, den der Herausgeber (',
      who,
      ') genannt hat: ',
      nodes,
      '.',
    ],
    publisherRefused: (why) =>
      `Was der Herausgeber dieser Seite über Schlüssel und Smart Contract angibt, ist nicht lesbar, und nichts davon zählt: ${why}.`,
    noNode: 'keiner',
    claims: 'Was der Nachweis selbst angibt',
    claimsWhy: 'Zum Vergleich mit anderweitig Veröffentlichtem; ein Fälscher hätte seine eigenen Angaben eingesetzt.',
    claimedKey: 'Schlüssel der Quelle',
    claimedContract: 'Smart Contract',
  },
  raw: {
    title: 'Aufbewahren und weitergeben',
    json: 'Der Nachweis als JSON',
    region: 'Nachweis als JSON',
    copyLink: 'Link kopieren, der den Nachweis enthält',
    qr: 'Als QR-Code anzeigen',
    print: 'Drucken',
    tooLong: (length, most) => `Der Link hat ${number(length)} Zeichen; ein QR-Code fasst ${number(most)}.`,
    copied: (length) => `Kopiert. Der Link hat ${number(length)} Zeichen und benötigt keinen Server.`,
    qrCode: 'Der Link als QR-Code',
  },
  paper: {
    title: 'Erneut prüfen',
    event: 'Ereignis',
    printed: 'Im Browser geprüft und gedruckt',
    atSomeTime: 'zu unbekannter Zeit',
    at: (iso) => `am ${time(iso)}`,
    link: 'Link ',
    note: 'Papier allein beweist nichts: Über den Link oder den QR-Code lässt sich erneut prüfen.',
    tooLong: 'Der Link ist für einen QR-Code zu lang.',
  },
}
