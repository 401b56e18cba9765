/** The version of this package: told to viewers, and written into traces. */
import manifest from '../package.json' with { type: 'json' }

export const version: string = manifest.version
