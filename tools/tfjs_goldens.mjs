// Runs networks in the original TensorFlow.js runtime (its CPU backend, as bundled in the npm packages) on given tensors.
//     node tools/tfjs_goldens.mjs BUNDLE.js JOBS.json       (called by tools/tfjs_goldens.py)
import fs from 'fs'

// The bundles are made for browsers: these names must exist, nothing of them is used.
globalThis.window = globalThis
globalThis.document = { createElement: () => ({ getContext: () => null }) }
for (const name of ['HTMLImageElement', 'HTMLCanvasElement', 'HTMLVideoElement', 'ImageData', 'CanvasRenderingContext2D']) globalThis[name] ??= class {}

const [, , bundle, jobs] = process.argv
const module = await import(bundle)
const tf = module.tf ?? module
await tf.setBackend('cpu')
await tf.ready()

const bytes = (file) => { const b = fs.readFileSync(file); return b.buffer.slice(b.byteOffset, b.byteOffset + b.length) }

async function graphModel(job, x) {
  const file = JSON.parse(fs.readFileSync(job.json, 'utf8'))
  const weightSpecs = file.weightsManifest.flatMap((group) => group.weights)
  const artifacts = { modelTopology: file.modelTopology, weightSpecs, weightData: bytes(job.bin), signature: file.signature, format: file.format }
  const model = await tf.loadGraphModel({ load: async () => artifacts })
  return Object.fromEntries(job.outputs.map((name) => [name, model.execute({ [model.inputs[0].name]: x }, name)]))
}

async function faceApi(job, x) {
  const manifest = JSON.parse(fs.readFileSync(job.json, 'utf8'))
  const net = new module[job.net]()
  net.loadFromWeightMap(tf.io.decodeWeights(bytes(job.bin), manifest.flatMap((group) => group.weights)))
  const got = await net.forward(tf.unstack(x))
  return job.net === 'AgeGenderNet' ? { age: got.age, gender: got.gender } : { emotion: got }
}

const results = {}
for (const job of JSON.parse(fs.readFileSync(jobs, 'utf8'))) {
  const x = tf.tensor(new Float32Array(bytes(job.input)), job.shape)
  const tensors = await (job.net ? faceApi(job, x) : graphModel(job, x))
  results[job.card] = Object.fromEntries(Object.entries(tensors).map(([name, t]) => [name, Array.from(t.dataSync())]))
}
fs.writeFileSync(process.argv[4], JSON.stringify(results))
