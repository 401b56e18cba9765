/** What a drawing says of the point under the pointer. It stays within the drawing's width and takes no pointer itself. */

const WIDTH = 260

export interface Pointed {
  /** Within a box that is so wide. */
  readonly x: number
  readonly y: number
  readonly room: number
}

export const Tip = ({ at, title, lines }: { at: Pointed; title: string; lines: readonly string[] }) => {
  const left = Math.max(0, Math.min(at.room - WIDTH, at.x - WIDTH / 2))
  return (
    <div class="tip" role="tooltip" style={{ left: `${left}px`, top: `${at.y + 16}px` }}>
      <b>{title}</b>
      {lines
        .filter((line) => line !== '')
        .map((line) => (
          <span key={line}>{line}</span>
        ))}
    </div>
  )
}

/** Where in an element the pointer is. */
export const pointIn = (box: HTMLElement, event: MouseEvent): Pointed => {
  const { left, top, width } = box.getBoundingClientRect()
  return { x: event.clientX - left, y: event.clientY - top, room: width }
}
