import { command } from './entry.ts'
import { ACCESS, CONFIG, JSON_OUT, LINK_TOKEN, PINS, SUBJECT_KEYS } from './options.ts'

export const VERIFY = command({
  name: 'verify',
  summary: 'check a proof, without trusting whoever gave it to you',
  usage: ['verify <file | link | -> [pins] [options]'],
  arguments: [{ name: 'file', complete: 'file' }],
  about: [
    'Prints every check as passed, failed or skipped with the reason, and the verdict. Keys and addresses inside a proof are claims; what counts is what you pin, from a place you trust. What you leave out is skipped, and the verdict is then "undecided" and says whose word it rests on. A skipped check never hides a failed one.',
    '<file> is a proof, or an export (killick export): then every line is checked, and what it shows is compared with its proof. A link is a proof link (…/p/…), one that holds the proof itself (…#…, of which nothing is sent anywhere), or any URL of a proof; - is stdin.',
    'Of a bundle (killick bundle) it says two things: whether what it holds is genuine, and whether it is all there is. Exit code 0 means both.',
    'Given evidence that a log has two histories (killick-fork/1, from a recorder or killick compare), it says what the two signed notes in it show; this needs --log-key alone. It holds no event, so the exit code is never 0.',
  ],
  options: {
    ...PINS,
    confirmations: {
      value: 'n',
      about: 'blocks that make an anchor final on a chain without finality of its own; default 12',
    },
    wait: {
      value: 'seconds',
      default: '0',
      about: 'how long to wait for the anchor: asks the link and the chain again; default 0',
    },
    ...LINK_TOKEN,
    ...SUBJECT_KEYS,
    json: { about: 'print the verdict as JSON; of an export one object a line, and the counts in the last' },
  },
  exits: [
    [0, 'verified; never of evidence'],
    [
      1,
      'failed (they contradict each other, under the pinned key); of a bundle also: something is missing, or a source was silent for longer than it promised',
    ],
    [2, 'wrong usage, or not a proof'],
    [
      3,
      'undecided: not anchored yet, a node or the URL could not be reached, or not everything was pinned; of evidence: the notes do not contradict each other, or no key is pinned; of a bundle also: nothing is missing but what policies have dropped; of an export the worst line counts, 1 before 2 before 3',
    ],
  ],
  examples: [
    'killick verify proof.json',
    'killick verify https://audit.example.com/p/vGq3… --trust trust.json --wait 60',
    'killick verify november.ndjson --json | tail -1',
    'killick verify proof.json --rpc https://rpc.example.com --contract 0x5FbD… --log-id 0x9c1e… \\',
    '    --log-key ledger.example.com+1f2e3d4c+AQ… --source-key billing-api=billing-api.pub.json',
  ],
})

export const AUDIT = command({
  name: 'audit',
  summary: 'check the whole ledger, and every anchor with the chain',
  usage: ['audit [--url <url>] [--token <token>] --rpc <url> [--contract <0x…> --log-id <0x…>] [--log-key <vkey>]'],
  about: [
    'Downloads everything the service stores and computes it all again on this machine: every event’s digests, fields and signature, the chain of every stream, the root and signature of every batch, the log’s tree and each stored tile, and every anchor against the contract, down to whether the contract knows of entries that the log no longer shows. Each key must have been registered in the log before it was used, and used within its validity; the service must list the sources as the log registers them. Some events, chosen at random, are looked up in every way that readers can: id, leaf hash, place in the stream, time, source, action, actor and a target. The service is asked for data only, never for a verdict. What it keeps in memory grows with streams and with events that lack fields, not with the events themselves. The first event at fault is named.',
    'If the log succeeds another one, whose chain key was stolen or lost, it must extend the last honest anchor of that log, and the contract of that log must hold this anchor. What was anchored there later is reported; nobody can tell from outside whose it is. If you pin the log that was left, the audit follows it to this one on the publisher’s word: pin the new log to make it yours.',
    'What is not pinned is taken on the operator’s word, and the result says so. That is not a pass, unless --registered-keys or --no-chain says that you left it out on purpose.',
  ],
  options: {
    ...ACCESS,
    ...PINS,
    sample: { value: 'n', default: '1000', about: 'look up one event in n, on average (default 1,000); 1: each event' },
    receipts: {
      value: 'spool',
      repeat: true,
      complete: 'file',
      about: 'compare the log with what it gave a recorder: the spool’s folder, or a file of receipts; repeatable',
    },
    since: {
      value: 'note',
      repeat: true,
      complete: 'file',
      about: 'compare it with an older checkpoint: a file with the signed note; repeatable',
    },
    keep: {
      value: 'folder',
      complete: 'folder',
      about:
        'keep in this folder how far the audit has come: if it is interrupted, the next call goes on at the last entry that was kept and that an anchor covers. Each audit without a fault leaves the signed checkpoint there, which the next ones must extend',
    },
    new: {
      about:
        'with --keep: read only what is new since the last audit there that ended without a fault. What happened since to the entries before is then not checked, but that the log goes on from them',
    },
    'registered-keys': { about: 'accept the keys of sources that are not pinned as the log registers them' },
    'no-chain': { about: 'do not ask the chain; a rewritten log may then pass' },
    ...JSON_OUT,
  },
  exits: [
    [0, 'everything holds, by what you pinned'],
    [1, 'something does not'],
    [2, 'wrong usage, or the service refuses (for instance, a token is missing)'],
    [
      3,
      'nothing failed, but not everything was pinned, the service or a node could not be reached, or the chain was not asked',
    ],
  ],
  examples: [
    'killick audit --url http://127.0.0.1:8787 --rpc https://rpc.example.com --contract 0x5FbD… --log-id 0x9c1e… \\',
    '    --log-key ledger.example.com+1f2e3d4c+AQ… --registered-keys',
    'killick audit --config audit.json --keep /var/lib/killick-audit --new',
  ],
})

export const COMPARE = command({
  name: 'compare',
  summary: 'compare two checkpoints of a log',
  usage: ['compare <a> <b> [--log-key <vkey>] [--url <url>] [--out <file>]'],
  arguments: [
    { name: 'a', complete: 'file' },
    { name: 'b', complete: 'file' },
  ],
  about: [
    'A log that shows one history to you and another to somebody else gives itself away as soon as you compare. <a> and <b> are each a file with a signed note (a checkpoint) or with receipts, the spool of a recorder, or the URL of a service. Both must be signed by the log’s key. If their sizes differ, the service must prove that the larger log extends the smaller.',
  ],
  options: {
    'log-key': {
      value: 'vkey',
      env: 'KILLICK_LOG_KEY',
      config: 'logKey',
      complete: 'file',
      about:
        'the log’s verifier key (origin+hash+base64), or a file that holds it; default: the one in the spool, or else the one that the service names',
    },
    url: {
      value: 'url',
      env: 'KILLICK_URL',
      config: 'url',
      about: 'the service to ask for that proof, if neither <a> nor <b> is its URL',
    },
    out: {
      value: 'file',
      complete: 'file',
      about: 'write evidence of a fork (killick-fork/1), which killick verify judges; never overwrites',
    },
    ...CONFIG,
    ...JSON_OUT,
  },
  exits: [
    [0, 'equal or consistent'],
    [1, 'a fork, no note, or not signed by the log’s key'],
    [2, 'wrong usage or unreadable input'],
    [3, 'undecided: no service could be asked, or its answer proves nothing either way'],
  ],
  examples: [
    'killick compare ./spool https://audit.example.com',
    'killick compare mine.note yours.note --url https://audit.example.com --log-key ledger.example.com+1f2e3d4c+AQ… --out fork.json',
  ],
})
