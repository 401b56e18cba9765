/** A canvas that fills its box, is sharp on every screen, and is drawn once per frame at most. */
import { effect, type ReadonlySignal, untracked } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'

export interface Area {
  readonly ctx: CanvasRenderingContext2D
  readonly width: number
  readonly height: number
  /** A colour of the style sheet. */
  ink(name: string): string
}

/** A text that fits: of a name the end tells more than the middle, so the middle goes. */
export const shortened = (ctx: CanvasRenderingContext2D, text: string, room: number): string => {
  // what is much too long is not measured letter by letter
  const whole = text.length > 80 ? `${text.slice(0, 40)}…${text.slice(-39)}` : text
  if (ctx.measureText(whole).width <= room) return whole
  for (let kept = Math.min(whole.length - 1, 79); kept > 2; kept--) {
    const short = `${whole.slice(0, Math.ceil(kept / 2))}…${whole.slice(whole.length - Math.floor(kept / 2))}`
    if (ctx.measureText(short).width <= room) return short
  }
  return '…'
}

export interface CanvasProps {
  readonly class: string
  draw(area: Area): void
  /** Drawn again when one of them changes. */
  readonly on: readonly ReadonlySignal<unknown>[]
}

export const Canvas = ({ class: name, draw, on }: CanvasProps) => {
  const box = useRef<HTMLDivElement>(null)
  const canvas = useRef<HTMLCanvasElement>(null)
  const latest = useRef(draw)
  latest.current = draw
  useEffect(() => {
    const frame = box.current!
    const own = canvas.current!
    const ctx = own.getContext('2d', { alpha: false })!
    let asked = 0
    const paint = () => {
      asked = 0
      const { clientWidth: width, clientHeight: height } = frame
      if (width === 0 || height === 0) return
      const scale = devicePixelRatio
      if (own.width !== Math.round(width * scale) || own.height !== Math.round(height * scale)) {
        own.width = Math.round(width * scale)
        own.height = Math.round(height * scale)
      }
      ctx.setTransform(scale, 0, 0, scale, 0, 0)
      const style = getComputedStyle(own)
      const inks = new Map<string, string>()
      const ink = (name: string) => {
        const known = inks.get(name) ?? style.getPropertyValue(`--${name}`)
        inks.set(name, known)
        return known
      }
      ctx.fillStyle = ink('paper')
      ctx.fillRect(0, 0, width, height)
      untracked(() => latest.current({ ctx, width, height, ink }))
    }
    const ask = () => {
      asked ||= requestAnimationFrame(paint)
    }
    const stop = effect(() => {
      for (const each of on) each.value
      ask()
    })
    const watch = new ResizeObserver(ask)
    watch.observe(frame)
    return () => {
      stop()
      watch.disconnect()
      cancelAnimationFrame(asked)
    }
  }, on)
  return (
    <div class={name} ref={box}>
      <canvas ref={canvas} />
    </div>
  )
}
