/** @type {import('next').NextConfig} */
export default {
  // Loaded as Node loads it, not bundled: all entries then have the same copy.
  serverExternalPackages: ['@killick/sdk'],
}
