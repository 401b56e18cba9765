/** What every transport is to the rest: a thing that is opened once, moves frames, and is lost once. */
import type { Fault } from '../../machines/fault.ts'

/** One unit on the transport, undecoded: text as string, binary as bytes. */
export type Frame = string | Uint8Array

/** The writing end of an open transport. */
export interface Pipe {
  send(frame: Frame): void
  /** Asks the peer's transport layer for a sign of life; `answered(mark)` follows. */
  ping(mark: string): void
  /** Bytes written but not yet taken by the kernel. */
  bufferedBytes(): number
  /** Says goodbye, with a close code of the protocol's own if it has one; `lost` follows when the peer has said it too. */
  close(code?: number): void
}

/** What a transport tells. After `lost`, or after it was ended from our side, it tells nothing more. */
export interface TransportListener {
  /** The socket is open; TLS and the upgrade are still to come. */
  opened(): void
  ready(pipe: Pipe): void
  frame(frame: Frame): void
  /** Somebody else's client reported this; in place of a frame. */
  event(name: string, values: readonly unknown[]): void
  /** Bytes arrived; called once per chunk, after its frames. */
  inbound(): void
  answered(mark: string): void
  /** The kernel took what was buffered. */
  drained(): void
  /** `close` is set when the peer sent a close frame. */
  lost(fault: Fault, close?: { code: number; reason: string }): void
}

/** Opens and keeps one transport. The returned function ends it at once and leaves nothing behind. */
export type OpenTransport = (listener: TransportListener) => () => void
