/** A user's machine with one of everything: compound, parallel, final, guards, after, invoke. */
import { fromPromise, setup } from 'xstate'

export const errand = setup({
  actors: { fetchList: fromPromise(async () => []) },
  guards: { hasMoney: () => true },
  delays: { patience: 1_500 },
  actions: { note: () => undefined },
}).createMachine({
  id: 'errand',
  initial: 'asking',
  on: { CANCEL: { target: '.done', description: 'nobody wants it any more' } },
  states: {
    asking: {
      invoke: { src: 'fetchList', onDone: 'shopping', onError: { target: 'asking', reenter: true } },
      after: { patience: 'shopping' },
    },
    shopping: {
      initial: 'walking',
      states: {
        walking: { on: { ARRIVE: 'paying', GREET: { actions: 'note' } } },
        paying: { on: { PAY: [{ guard: 'hasMoney', target: 'paid' }, { target: 'walking' }] } },
        paid: { type: 'final' },
      },
      onDone: 'home',
    },
    home: {
      type: 'parallel',
      states: {
        kettle: { initial: 'cold', states: { cold: { on: { BOIL: 'hot' } }, hot: { type: 'final' } } },
        bags: { initial: 'full', states: { full: { on: { 'say "hi"': 'empty' } }, empty: { type: 'final' } } },
      },
      onDone: 'done',
    },
    done: { type: 'final' },
  },
})

/** As the command has to end although a module started something. */
export const tick = setInterval(() => undefined, 1_000)

export default errand
