import { command } from './entry.ts'

const SHELLS = ['bash', 'zsh', 'fish'] as const

export const COMPLETION = command({
  name: 'completion',
  summary: 'print what makes a shell complete killick’s commands and options',
  usage: ['completion bash|zsh|fish'],
  arguments: [{ name: 'shell', complete: SHELLS }],
  about: [
    'Prints a script for the shell, made from the same table as this help. It holds every name itself: completing starts no program and asks no service.',
  ],
  options: {},
  exits: [
    [0, 'printed'],
    [2, 'no such shell'],
  ],
  examples: [
    'source <(killick completion bash)                                   # in ~/.bashrc',
    'killick completion zsh > ~/.zfunc/_killick                          # a folder of $fpath',
    'killick completion fish > ~/.config/fish/completions/killick.fish',
  ],
})

export const MAN = command({
  name: 'man',
  summary: 'print the manual page',
  usage: ['man'],
  about: ['Prints the whole manual as a page for man(1), made from the same table as this help.'],
  options: {},
  exits: [[0, 'printed']],
  examples: ['killick man | man -l -', 'killick man > /usr/local/share/man/man1/killick.1'],
})
