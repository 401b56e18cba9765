/** WeChat's web as wechat4u asks it, on a socket: an account that is logged in at once, polls, and messages that wait. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** `expired`: no code lasts. `away`: every connection is cut. `portal`: a page of HTML, with 200, whatever was asked. */
export type Mood = 'well' | 'expired' | 'away' | 'portal'

const PORTAL = '<!doctype html><html><head><title>Wi-Fi</title></head><body>Please log in</body></html>'

const well = { BaseResponse: { Ret: 0 } }

export class WechatWeb {
  mood: Mood = 'well'
  /** What was asked, by the last part of its path. */
  readonly asked: string[] = []
  /** When a sync was answered as it should be: milliseconds of performance.now(). */
  readonly syncedAt: number[] = []
  readonly #server: Server
  readonly #longPollMs: number
  readonly #waiting: object[] = []
  #messages = 0

  private constructor(longPollMs: number) {
    this.#longPollMs = longPollMs
    this.#server = createServer((request, answer) => this.#take(request, answer))
  }

  static async start(longPollMs: number): Promise<WechatWeb> {
    const web = new WechatWeb(longPollMs)
    await new Promise<void>((resolve) => web.#server.listen(0, '127.0.0.1', resolve))
    return web
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  count(name: string): number {
    return this.asked.filter((each) => each === name).length
  }

  /** A message for the account: it waits until it is fetched. */
  say(text: string): void {
    const MsgId = String(++this.#messages)
    this.#waiting.push({ MsgId, FromUserName: '@friend', ToUserName: '@me', MsgType: 1, Content: text })
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #take(request: IncomingMessage, answer: ServerResponse): void {
    const name = new URL(request.url ?? '/', this.url).pathname.slice(1)
    this.asked.push(name)
    request.resume()
    if (this.mood === 'away') request.socket.destroy()
    else if (this.mood === 'portal') answer.setHeader('Content-Type', 'text/html').end(PORTAL)
    else this.#answer(name, answer)
  }

  #answer(name: string, answer: ServerResponse): void {
    const text = (body: string) => void answer.setHeader('Content-Type', 'text/plain').end(body)
    const json = (body: object) => void answer.setHeader('Content-Type', 'application/json').end(JSON.stringify(body))
    if (name === 'jslogin') text(`window.QRLogin.code = 200; window.QRLogin.uuid = "code-${this.count(name)}==";`)
    else if (name === 'login' && this.mood === 'expired') text('window.code=400;')
    else if (name === 'login') text(`window.code=200;\nwindow.redirect_uri="${this.url}/redirect?ticket=A";`)
    else if (name === 'redirect') {
      answer
        .writeHead(301)
        .end('<error><ret>0</ret><skey>@s</skey><wxsid>S</wxsid><wxuin>1</wxuin><pass_ticket>P</pass_ticket></error>')
    } else if (name === 'webwxinit')
      json({ ...well, User: { UserName: '@me' }, SyncKey: { List: [] }, ContactList: [] })
    else if (name === 'synccheck') this.#poll(text, () => answer.destroy())
    else if (name === 'webwxsync')
      json({ ...well, AddMsgCount: this.#waiting.length, AddMsgList: this.#waiting.splice(0) })
    else if (name === 'webwxbatchgetcontact') json({ ...well, ContactList: [{ UserName: '@friend', MemberCount: 0 }] })
    else json({ ...well, MemberList: [] })
  }

  /** As the real one: at once if something waits, else when something comes or the time is over. */
  #poll(tell: (body: string) => void, cut: () => void): void {
    const beganAt = performance.now()
    const look = () => {
      const waits = this.#waiting.length > 0
      if (!waits && performance.now() - beganAt < this.#longPollMs && this.mood === 'well')
        return void setTimeout(look, 20)
      if (this.mood === 'away') return cut()
      if (this.mood === 'portal') return tell(PORTAL)
      this.syncedAt.push(performance.now())
      tell(`window.synccheck={retcode:"0",selector:"${waits ? 2 : 0}"}`)
    }
    look()
  }
}
