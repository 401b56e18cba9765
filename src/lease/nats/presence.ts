/**
 * Whether a connection to NATS is there. What is asked while it is not is never sent: the client drops it when it connects
 * again, and whoever asked learns that from a timeout (nats-core 3.4). So a question waits until the connection is back,
 * and one that was under way when it broke need not wait any longer.
 */

/** What is known here of a connection of `@nats-io/transport-node`, or of any other of `@nats-io/nats-core`. */
export interface NatsConnection {
  /** What the server said of itself, once there was one. */
  readonly info?: { readonly version: string } | undefined
  status(): AsyncIterable<{ readonly type: string }>
}

export class Presence {
  readonly #statuses: AsyncIterable<{ readonly type: string }> & { stop?: () => void }
  #returned: Promise<void> = Promise.resolve()
  #return: () => void = () => undefined

  /** `lost` is called whenever the connection breaks. */
  constructor(connection: NatsConnection, lost: () => void) {
    this.#statuses = connection.status()
    this.#follow(lost).catch(() => this.#return())
  }

  /** Resolves when the connection is there, or is closed for good. */
  returned(): Promise<void> {
    return this.#returned
  }

  close(): void {
    this.#statuses.stop?.()
  }

  async #follow(lost: () => void): Promise<void> {
    for await (const { type } of this.#statuses) {
      if (type === 'reconnect') this.#return()
      if (type !== 'disconnect') continue
      this.#return()
      this.#returned = new Promise((resolve) => {
        this.#return = resolve
      })
      lost()
    }
    this.#return()
  }
}
