import { command } from './entry.ts'
import { CONFIG, RECEIPT_LOG_KEY, URL_OPTION } from './options.ts'

export const RUN = command({
  name: 'run',
  summary: 'run a command, and record it before it starts and after it ends',
  usage: ['run [options] -- <command> [arguments]', 'run --ssh [options]'],
  about: [
    'Records command.run, signed and on disk, before the command starts: its arguments without secrets, user, host, folder. Records command.end, signed and on disk, before it exits: exit code or signal, duration, and of each stream that it read the number of bytes and their SHA-256 in hex. If the program is killed in between, the next start records that the end is unknown. Its exit code is the command’s.',
    'A stream that is a terminal is handed to the command as it is, and nothing of it is hashed. Every other stream goes through a pipe: each byte is passed on at once and hashed on its way. So the command does not see the file or socket itself; stdin is read as far as the pipe takes it, whether the command wants it or not; and the program ends when the last process that holds stdout or stderr has closed it. --pass hands a stream to the command as it is, unhashed.',
    'Arguments are recorded without what looks like a secret: values of options and variables whose names say password, secret, token, key and the like, passwords in URLs, and tokens, keys and card numbers by their form. A secret that nothing tells from other text is recorded.',
    'Each start that runs at the same time has a spool of its own: <spool>/run/0, 1, 2. What the log has not accepted by the end stays there, and the next start sends it. Output and errors belong to the command: this program writes to stderr only if something was not recorded or not run, or with --verbose.',
  ],
  options: {
    strict: { about: 'run nothing whose start cannot be recorded; this is the default' },
    observe: {
      about:
        'run it all the same, say on stderr that it is not recorded, and count it: the next command.run that is recorded carries the count',
    },
    wait: {
      value: 'seconds',
      default: '1',
      about: 'how long to go on at the end until the log has accepted everything; default 1',
    },
    env: { value: 'name', repeat: true, about: 'record this variable of the environment, without secrets; repeatable' },
    redact: {
      value: 'name',
      repeat: true,
      about: 'never record the value of this option or variable, such as p for -p; repeatable',
    },
    pass: {
      value: 'stream',
      repeat: true,
      complete: ['stdin', 'stdout', 'stderr'],
      about: 'hand stdin, stdout or stderr to the command as it is, unhashed; repeatable',
    },
    session: {
      about:
        'record the terminal too: what it shows, as SHA-256 in chunks of a second at most, and in a file for asciinema; needs script of util-linux. Where stdin or stdout is no terminal there is nothing to record',
    },
    'show-output': {
      about:
        'with --session: let the events hold what the terminal shows, and not only its hash; secrets that it shows too',
    },
    ssh: {
      about:
        'for ForceCommand of sshd: run what the client asked for (SSH_ORIGINAL_COMMAND) with the user’s shell, or that shell',
    },
    source: { value: 'name', env: 'KILLICK_SOURCE', config: 'source', about: 'registered name of the source' },
    key: { value: 'file', env: 'KILLICK_KEY', config: 'key', complete: 'file', about: 'its private key' },
    ...URL_OPTION,
    spool: {
      value: 'dir',
      env: 'KILLICK_SPOOL',
      config: 'spool',
      default: './killick-spool',
      complete: 'folder',
      about: 'where run/ is, with a spool for each start at the same time; default ./killick-spool',
    },
    ...RECEIPT_LOG_KEY,
    verbose: { about: 'say on stderr what was recorded, and what waits for the log' },
    ...CONFIG,
  },
  failure: 125,
  exits: [
    [0, 'the command’s own exit code, as is every other that is not named here'],
    [1, 'also: the command’s is 0, and its output could not be written, or its input not be read; stderr says which'],
    [125, 'nothing was run: its start could not be recorded, or wrong usage'],
    [126, 'the command was found but could not be started'],
    [127, 'there is no such command'],
    [128, 'and more: 128 + n if signal n ended the command'],
  ],
  examples: [
    'killick run -- pg_dump --file /backup/daily.sql billing',
    '17 3 * * * killick run --config /etc/killick/killick.json -- /usr/local/bin/backup     # in a crontab',
    'killick run --env RELEASE --wait 30 -- ./deploy.sh production',
    'ForceCommand killick run --ssh --session --config /etc/killick/killick.json            # in sshd_config',
  ],
})
