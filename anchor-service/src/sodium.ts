/// <reference path="./sodium-native.d.ts" />
/**
 * libsodium, which takes half the time of the OpenSSL in Node for Ed25519: docs/decisions/0008-native-cryptography.md. Null where it has
 * no binary: then OpenSSL does its work.
 */
export const sodium = await import('sodium-native').then(
  (module) => module.default,
  () => null,
)
