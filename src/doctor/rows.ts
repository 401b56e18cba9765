/** One row of the tables of findings. */
import type { Text } from '../../machines/fault.ts'
import type { Known, LayerName } from './layers.ts'

export interface Row {
  readonly code: string
  /** The layer that it is about. */
  readonly layer: LayerName
  /** The sentence with advice if the row is true of these layers. */
  says(known: Known): Text | undefined
}
