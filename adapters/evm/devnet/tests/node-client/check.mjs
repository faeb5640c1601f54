// What a client of another author (viem) sees of the EVM devnet, over HTTP and over WebSocket.
//
//   node check.mjs '{"http": …, "ws": …, "contract": "0x…", "abi": […], "heads": 3}'
//
// Reads everything there is and recomputes what it can: transaction hashes and senders, code hashes, the first node of
// each proof. Then subscribes, prints {"ready": true}, waits for so many new heads and for one event, and prints what it
// saw as one line of JSON. Ends with a status other than 0 and a reason when anything is off.
import assert from 'node:assert/strict'
import {
  createPublicClient, getAddress, http, keccak256, pad, parseEventLogs, recoverTransactionAddress, serializeTransaction,
  webSocket,
} from 'viem'

const DEADLINE_MS = 30_000
const task = JSON.parse(process.argv[2])
const contract = getAddress(task.contract)
const onHttp = createPublicClient({ transport: http(task.http, { retryCount: 0 }) })
const onSocket = createPublicClient({ transport: webSocket(task.ws, { retryCount: 0, reconnect: false }) })

const timer = setTimeout(() => fail(new Error(`nothing new came within ${DEADLINE_MS} ms`)), DEADLINE_MS)
const say = (value) => process.stdout.write(`${JSON.stringify(value, (_, it) => (typeof it === 'bigint' ? Number(it) : it))}\n`)

function fail(error) {
  process.stderr.write(`${error.stack ?? error}\n`)
  process.exit(1)
}

// viem adds its own view of some fields; what both transports say must be one.
async function both(what, ask) {
  const [one, other] = await Promise.all([ask(onHttp), ask(onSocket)])
  assert.deepEqual(one, other, `${what}: HTTP and WebSocket differ`)
  return one
}

async function block(number) {
  const found = await both(`block ${number}`, (client) => client.getBlock({ blockNumber: number, includeTransactions: true }))
  assert.equal(found.number, number)
  assert.deepEqual(await onHttp.getBlock({ blockHash: found.hash, includeTransactions: true }), found, 'by hash')
  assert.equal(await onHttp.getBlockTransactionCount({ blockNumber: number }), found.transactions.length)
  for (const transaction of found.transactions) await checkTransaction(transaction, found)
  return found
}

async function checkTransaction(transaction, { hash, number }) {
  assert.deepEqual(await onHttp.getTransaction({ hash: transaction.hash }), transaction)
  assert.equal(transaction.typeHex, '0x0')
  const { r, s, v, chainId, gas, gasPrice, nonce, to, value, input } = transaction
  const raw = serializeTransaction(
    { type: 'legacy', chainId, gas, gasPrice, nonce, to, value, data: input },
    { r: pad(r), s: pad(s), v },
  )
  assert.equal(keccak256(raw), transaction.hash, 'the hash of a transaction')
  const sender = await recoverTransactionAddress({ serializedTransaction: raw })
  assert.equal(sender, getAddress(transaction.from), 'the sender of a transaction')
  const receipt = await both('receipt', (client) => client.getTransactionReceipt({ hash: transaction.hash }))
  assert.deepEqual([receipt.blockHash, receipt.blockNumber, receipt.status], [hash, number, 'success'])
}

const shown = (log) => ({ event: log.eventName, args: log.args, block: log.blockNumber, logIndex: log.logIndex })

async function events(tip) {
  const range = { address: contract, fromBlock: 0n, toBlock: tip }
  const logs = await both('logs', (client) => client.getLogs(range))
  const decoded = parseEventLogs({ abi: task.abi, logs, strict: true })
  assert.equal(decoded.length, logs.length, 'every log decodes')
  const one = { abi: task.abi, eventName: 'ClearanceGranted', ...range }
  assert.ok((await onHttp.getContractEvents(one)).every((log) => log.eventName === 'ClearanceGranted'), 'a filter by topic')
  return decoded.map(shown)
}

// A proof's first node is the root's: its hash is the root. What follows from it, others verify.
async function state(tip) {
  const { stateRoot } = await onHttp.getBlock({ blockNumber: tip })
  const slot = `0x${'00'.repeat(32)}`
  const at = { address: contract, blockNumber: tip }
  const proof = await both('proof', (client) => client.getProof({ ...at, storageKeys: [slot] }))
  assert.equal(keccak256(proof.accountProof[0]), stateRoot, 'the root of the account proof')
  assert.equal(keccak256(proof.storageProof[0].proof[0]), proof.storageHash, 'the root of the storage proof')
  assert.equal(proof.codeHash, keccak256(await onHttp.getCode(at)), 'the hash of the code')
  const kept = await onHttp.getStorageAt({ ...at, slot })
  assert.equal(BigInt(kept), proof.storageProof[0].value, 'the value of the slot')
  const registrar = await onHttp.readContract({ ...at, abi: task.abi, functionName: 'registrar' })
  assert.equal(BigInt(registrar), proof.storageProof[0].value, 'what the contract says of its slot')
  const nonce = await onHttp.getTransactionCount({ address: registrar, blockNumber: tip })
  assert.equal(await onHttp.getBalance({ address: registrar }), 0n)
  return { stateRoot, codeHash: proof.codeHash, storageHash: proof.storageHash, registrar, nonce }
}

async function subscribed() {
  const heads = []
  const found = []
  let done
  const enough = new Promise((resolve) => { done = resolve })
  const look = () => { if (heads.length >= task.heads && found.length >= 1) done() }
  const onError = (error) => fail(error)
  const endings = [
    onSocket.watchBlocks({ onError, onBlock: (head) => { heads.push({ number: head.number, hash: head.hash }); look() } }),
    onSocket.watchContractEvent({
      abi: task.abi, address: contract, eventName: 'CertificateChanged', strict: true, onError,
      onLogs: (logs) => { found.push(...logs.map(shown)); look() },
    }),
  ]
  // By the end of one round trip the subscriptions have gone out, by the end of a second they stand: one socket answers
  // in order.
  for (let trip = 0; trip < 2; trip += 1) await onSocket.request({ method: 'net_version' })
  say({ ready: true })
  await enough
  endings.forEach((end) => end())
  return { heads, found }
}

async function main() {
  const tip = await onHttp.getBlockNumber()
  const blocks = []
  for (let number = 0n; number <= tip; number += 1n) blocks.push(await block(number))
  blocks.slice(1).forEach((it, at) => assert.equal(it.parentHash, blocks[at].hash, 'blocks link'))
  await assert.rejects(onHttp.getBlock({ blockNumber: tip + 1000n }), { name: 'BlockNotFoundError' })
  await assert.rejects(onHttp.request({ method: 'eth_mining' }), { name: 'MethodNotFoundRpcError' })
  const seen = {
    chainId: await both('chain id', (client) => client.getChainId()),
    blocks: blocks.map(({ number, hash }) => ({ number, hash })),
    events: await events(tip),
    state: await state(tip),
    news: await subscribed(),
  }
  say(seen)
  clearTimeout(timer)
  process.exit(0)
}

main().catch(fail)
