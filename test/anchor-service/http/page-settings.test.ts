import { loadConfig } from '@killick/anchor-service'
import { expect, test } from 'vitest'

test.each([
  ['KILLICK_PUBLIC_URL', 'audit.example.com', /KILLICK_PUBLIC_URL must be a URL/],
  ['KILLICK_PUBLIC_RPC_URL', 'https://a.example ftp://b.example', /KILLICK_PUBLIC_RPC_URL must be a URL/],
  ['KILLICK_APPROVAL_URLS', 'approve.example.com', /KILLICK_APPROVAL_URLS must be a URL/],
  ['KILLICK_APPROVAL_URLS', 'https://approve.example.com/desk', /must be origins such as/],
  ['KILLICK_APPROVAL_URLS', 'https://a.example https://me:secret@b.example', /must be origins such as/],
])('%s is not taken where it is %s', (name, value, why) => {
  expect(() => loadConfig({ [name]: value })).toThrow(why)
})

test('addresses are taken as they are meant, and calls that wait are linked to nowhere unless it is said', () => {
  expect(loadConfig({}).published).toEqual({ url: null, rpcs: [], approvals: [] })
  const KILLICK_APPROVAL_URLS = ' https://Approve.example.com/ http://127.0.0.1:8790'
  const { published } = loadConfig({ KILLICK_APPROVAL_URLS, KILLICK_PUBLIC_URL: 'https://audit.example.com/' })
  expect(published.url).toBe('https://audit.example.com')
  expect(published.approvals).toEqual(['https://approve.example.com', 'http://127.0.0.1:8790'])
})
