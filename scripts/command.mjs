/**
 * What `npm start -- …` asks of the command line: nothing or only options mean the lab, the name of an adapter means to
 * hold a link with it, and all else is for the command line to understand or to refuse.
 *
 * @param {readonly string[]} args
 * @returns {string[]}
 */
export const commandOf = (args) => {
  const [first] = args
  if (first === undefined) return ['lab']
  if (['-h', '--help', '-v', '--version'].includes(first)) return [...args]
  if (first.startsWith('-')) return ['lab', ...args]
  return ['onebot', 'satori'].includes(first) ? ['hold', ...args] : [...args]
}
