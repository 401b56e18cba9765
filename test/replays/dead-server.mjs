/**
 * A server that answers no SYN, as if its host were gone: its queue is full, and nobody empties it. Its host is the argument;
 * the port goes to stdout when it is dead. It ends when its input ends.
 */
import { connect } from 'node:net'
import { Worker } from 'node:worker_threads'

const TOO_LATE_MS = 300

process.stdin.on('end', () => process.exit()).resume()
const [host] = process.argv.slice(2)

/** It listens, and never comes to accept anybody. */
const listener = `
  const { parentPort, workerData: host } = require('node:worker_threads')
  const server = require('node:net').createServer()
  server.listen({ host, port: 0, backlog: 1 }, () => {
    parentPort.postMessage(server.address().port)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
  })`

const connects = (port) =>
  new Promise((resolve) => {
    const filler = connect({ host, port }).on('error', () => undefined)
    const timer = setTimeout(() => resolve(false), TOO_LATE_MS)
    filler.once('connect', () => {
      clearTimeout(timer)
      resolve(true)
    })
  })

new Worker(listener, { eval: true, workerData: host }).once('message', async (port) => {
  while (await connects(port));
  console.log(port)
})
