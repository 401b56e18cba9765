/**
 * Spoils a machine in every small way that a slip of the hand could. The rules are complete enough when they tell each
 * spoiled machine from the true one; line coverage cannot say that.
 */
import { type AnyStateMachine, StateMachine } from 'xstate'

export interface Mutant {
  readonly name: string
  readonly build: () => AnyStateMachine
}

/** A chart as data: the walker of the config does not care about xstate's types. */
type Tree = { [key: string]: unknown }
type Path = readonly string[]

const isTree = (x: unknown): x is Tree => typeof x === 'object' && x !== null

/** Functions are shared: they are spoiled in the implementations, not here. */
const copy = <T>(x: T): T =>
  Array.isArray(x)
    ? (x.map(copy) as T)
    : isTree(x)
      ? (Object.fromEntries(Object.entries(x).map(([k, v]) => [k, copy(v)])) as T)
      : x

const at = (tree: Tree, path: Path): Tree => path.reduce((node, key) => node[key] as Tree, tree)

/** The paths of all states, the root first. */
const statePaths = (tree: Tree, path: Path = []): Path[] => [
  path,
  ...Object.keys((tree.states as Tree) ?? {}).flatMap((key) =>
    statePaths((tree.states as Tree)[key] as Tree, [...path, 'states', key]),
  ),
]

interface Spoil {
  readonly name: string
  readonly path: Path
  /** Changes what is at `path` under `key`. */
  readonly edit: (holder: Tree, key: string) => void
}

const remove = (holder: Tree, key: string): void => {
  if (Array.isArray(holder)) holder.splice(Number(key), 1)
  else delete holder[key]
}

/** An arrow may be written as a bare target. */
const asArrow = (holder: Tree, key: string): Tree => {
  const arrow = holder[key]
  const full: Tree = typeof arrow === 'string' ? { target: arrow } : (arrow as Tree)
  holder[key] = full
  return full
}

const idOf = (root: string, path: Path): string => [root, ...path.filter((_, i) => i % 2 === 1)].join('.')

/** The leaf that a target means, seen from a state: `#id`, `.child` or a sibling. */
const meant = (tree: Tree, path: Path, target: string): string => {
  const root = String(tree.id)
  const own = idOf(root, path)
  if (target.startsWith('.')) return innermost(tree, own + target)
  if (target.startsWith('#')) return innermost(tree, target.slice(1))
  return innermost(tree, path.length === 0 ? `${root}.${target}` : `${own.split('.').slice(0, -1).join('.')}.${target}`)
}

const innermost = (tree: Tree, id: string): string => {
  const path = id
    .split('.')
    .slice(1)
    .flatMap((key) => ['states', key])
  const { initial } = at(tree, path)
  return typeof initial === 'string' ? innermost(tree, `${id}.${initial}`) : id
}

/** Where the arrows of a state are written: the list of alternatives of an event counts as one arrow each. */
const arrowPaths = (state: Tree): Path[] => {
  const invoke = state.invoke as Tree | undefined
  const places: Path[] = [
    ...['on', 'after'].flatMap((kind) => Object.keys((state[kind] as Tree) ?? {}).map((key) => [kind, key])),
    ...['onDone', 'onError'].filter((key) => invoke && key in invoke).map((key) => ['invoke', key]),
  ]
  return places.flatMap((place) => {
    const arrow = at(state, place)
    return Array.isArray(arrow) ? arrow.map((_, i) => [...place, String(i)]) : [place]
  })
}

const arrowSpoils = (tree: Tree, statePath: Path, targets: readonly string[]): Spoil[] => {
  const state = at(tree, statePath)
  const root = String(tree.id)
  return arrowPaths(state).flatMap((place) => {
    const path = [...statePath, ...place]
    const where = `${idOf(root, statePath)} ${place.join(' ')}`
    const raw = at(tree, path) as unknown
    const arrow: Tree = typeof raw === 'string' ? { target: raw } : (raw as Tree)
    // An arrow without a target stays where it is, and so does one that is bent to its own state.
    const here = innermost(tree, idOf(root, statePath))
    const now = typeof arrow.target === 'string' ? meant(tree, statePath, arrow.target) : here
    const change = (name: string, edit: (arrow: Tree) => void): Spoil => ({
      name: `${where}: ${name}`,
      path,
      edit: (holder, key) => edit(asArrow(holder, key)),
    })
    const deletions = ['actions', 'guard', 'reenter'].filter((part) => part in arrow)
    const blamed = isTree(arrow.actions) && 'params' in arrow.actions
    return [
      { name: `${where}: deleted`, path, edit: remove },
      ...targets
        .filter((id) => id !== now)
        .map((id) =>
          change(`to ${id}`, (a) => {
            a.target = `#${id}`
          }),
        ),
      ...(now === here ? [] : [change('target deleted', (a) => remove(a, 'target'))]),
      ...deletions.map((part) => change(`${part} deleted`, (a) => remove(a, part))),
      ...(Array.isArray(arrow.actions)
        ? arrow.actions.map((action, i) =>
            change(`${action} deleted`, (a) => {
              a.actions = (a.actions as unknown[]).filter((_, j) => j !== i)
            }),
          )
        : []),
      ...(blamed
        ? [
            change('blames something else', (a) => {
              a.actions = { type: 'blame', params: { code: 'unknown' } }
            }),
          ]
        : []),
    ]
  })
}

const set =
  (value: unknown) =>
  (holder: Tree, key: string): void => {
    holder[key] = value
  }

const stateSpoils = (tree: Tree, statePath: Path, vocabulary: Vocabulary): Spoil[] => {
  const state = at(tree, statePath)
  const where = idOf(String(tree.id), statePath)
  const own = (key: string): Path => [...statePath, key]
  const siblings = Object.keys((state.states as Tree) ?? {}).filter((key) => key !== state.initial)
  const invoke = state.invoke as Tree | undefined
  const otherActors = vocabulary.actors.filter((src) => src !== invoke?.src)
  return [
    ...['entry', 'exit', 'tags', 'type', 'invoke', 'after', 'on']
      .filter((key) => key in state)
      .map((key) => ({ name: `${where}: ${key} deleted`, path: own(key), edit: remove })),
    ...siblings.map((key) => ({ name: `${where}: starts in ${key}`, path: own('initial'), edit: set(key) })),
    ...(invoke && 'input' in invoke
      ? [{ name: `${where}: invoke input deleted`, path: [...own('invoke'), 'input'], edit: remove }]
      : []),
    ...(invoke ? otherActors : []).map((src) => ({
      name: `${where}: invokes ${src}`,
      path: [...own('invoke'), 'src'],
      edit: set(src),
    })),
    ...vocabulary.tags
      .filter((tag) => state.tags !== tag && !('states' in state) && state.type !== 'final')
      .map((tag) => ({ name: `${where}: tagged ${tag}`, path: own('tags'), edit: set(tag) })),
    ...Object.keys((state.after as Tree) ?? {}).flatMap((delay) =>
      vocabulary.delays
        .filter((other) => other !== delay)
        .map((other) => ({
          name: `${where}: after ${other} instead of ${delay}`,
          path: own('after'),
          edit: (holder: Tree, key: string) => {
            holder[key] = { [other]: (holder[key] as Tree)[delay] }
          },
        })),
    ),
  ]
}

export interface Vocabulary {
  /** Absolute ids of the states that arrows are bent to. */
  readonly targets: readonly string[]
  readonly tags: readonly string[]
  readonly delays: readonly string[]
  readonly actors: readonly string[]
}

/** All that can be spoiled in the chart itself. */
export const chartMutants = (machine: AnyStateMachine, vocabulary: Vocabulary): Mutant[] => {
  const tree = machine.config as unknown as Tree
  const spoils = statePaths(tree).flatMap((path) => [
    ...arrowSpoils(tree, path, vocabulary.targets),
    ...stateSpoils(tree, path, vocabulary),
  ])
  return spoils.map(({ name, path, edit }) => ({
    name,
    build: () => {
      const spoiled = copy(tree)
      edit(at(spoiled, path.slice(0, -1)), path.at(-1)!)
      return new StateMachine(spoiled as typeof machine.config, machine.implementations)
    },
  }))
}

type Kind = 'actions' | 'guards' | 'delays'

/** The chart as it is, with one implementation replaced. */
export const replaced = (machine: AnyStateMachine, kind: Kind, key: string, what: string, by: unknown): Mutant => ({
  name: `${key}: ${what}`,
  build: () => {
    const { actions, guards, delays, actors } = machine.implementations
    const tables = { actions, guards, delays, actors }
    const implementations = { ...tables, [kind]: { ...tables[kind], [key]: by } } as typeof machine.implementations
    return new StateMachine(machine.config, implementations)
  },
})

/** Whatever a guard, a wait or an action is, it can be any of these instead. */
export const implementationMutants = (machine: AnyStateMachine): Mutant[] => {
  const { actions, guards, delays } = machine.implementations
  const delayed = (key: string, what: string, bend: (ms: number) => number): Mutant => {
    const delay = delays[key] as number | ((args: unknown) => number)
    const bent = typeof delay === 'function' ? (args: unknown) => bend(delay(args)) : bend(delay)
    return replaced(machine, 'delays', key, what, bent)
  }
  return [
    ...Object.keys(actions).map((key) => replaced(machine, 'actions', key, 'does nothing', () => undefined)),
    ...Object.keys(guards).flatMap((key) => [
      replaced(machine, 'guards', key, 'always true', () => true),
      replaced(machine, 'guards', key, 'always false', () => false),
    ]),
    ...Object.keys(delays).flatMap((key) => [
      delayed(key, '× 1000', (ms) => ms * 1000),
      delayed(key, '/ 1000', (ms) => ms / 1000),
      delayed(key, 'Infinity', () => Number.POSITIVE_INFINITY),
      delayed(key, 'NaN', () => Number.NaN),
      delayed(key, 'negative', (ms) => -ms),
    ]),
  ]
}

/**
 * Judges the machine and its mutants: `firstBroken` names the rule that a machine breaks, or is null. `equivalent` names the
 * mutants that no sequence of events can tell from the machine, each with its reason.
 */
export const judgeMutants = (
  machine: AnyStateMachine,
  mutants: readonly Mutant[],
  equivalent: Readonly<Record<string, string>>,
  firstBroken: (machine: AnyStateMachine) => string | null,
) => {
  const verdict = (build: () => AnyStateMachine): string | null => {
    try {
      return firstBroken(build())
    } catch (error) {
      return `not a machine: ${error instanceof Error ? error.message : String(error)}`
    }
  }
  const alive = mutants.filter(({ build }) => verdict(build) === null).map(({ name }) => name)
  const surviving = alive.filter((name) => !(name in equivalent))
  const killed = mutants.length - alive.length
  const same = alive.length - surviving.length
  console.log(`mutants ${mutants.length}, killed ${killed}, equivalent ${same}, surviving ${surviving.length}`)
  return {
    itself: verdict(() => machine),
    surviving,
    /** Named as equivalent, and not so. */
    mistaken: Object.keys(equivalent).filter((name) => !alive.includes(name)),
  }
}
