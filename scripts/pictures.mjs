/** `npm run docs:pictures`: takes the pictures of docs/page.md anew, from the page as it is built now. */
import { join } from 'node:path'
import { ensureBuild, ensureDependencies, loadTypeScript, main, root } from './setup.mjs'

await main(async () => {
  ensureDependencies()
  ensureBuild()
  const { takePictures } = await loadTypeScript('test/visualizer/pictures.ts')
  await takePictures(join(root, 'docs'))
})
