// What a viem user does on a rollup, with nothing special about it; prints one JSON document.
// Usage: connect_with_viem.mjs '{"http", "ws", "chainId", "key", "other", "artifact", "bundleBlock"}'
import { readFileSync } from 'node:fs'
import { createPublicClient, createWalletClient, defineChain, http, webSocket } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'

const given = JSON.parse(process.argv[2])
const { abi, bytecode } = JSON.parse(readFileSync(given.artifact))
const chain = defineChain({
  id: given.chainId,
  name: 'rollnet',
  nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 },
  rpcUrls: { default: { http: [given.http], webSocket: [given.ws] } },
})
const reader = createPublicClient({ chain, transport: http(), pollingInterval: 50 })
const socket = createPublicClient({ chain, transport: webSocket() })
const account = privateKeyToAccount(given.key)
const wallet = createWalletClient({ account, chain, transport: http() })

const heads = []
const stopHeads = socket.watchBlocks({ onBlock: (block) => heads.push(Number(block.number)) })

const deployed = await reader.waitForTransactionReceipt({
  hash: await wallet.deployContract({ abi, bytecode, args: [account.address] }),
})
const token = { abi, address: deployed.contractAddress }
const filter = await reader.createContractEventFilter({ ...token, eventName: 'Transfer' })
const told = new Promise((resolve, reject) => {
  const stop = socket.watchContractEvent({
    ...token,
    eventName: 'Transfer',
    onLogs: (logs) => (stop(), resolve(logs[0])),
    onError: reject,
  })
})
await socket.getBlockNumber() // the subscriptions before it on the same connection stand now
const gas = await reader.estimateContractGas({ ...token, functionName: 'mint', args: [given.other, 5n], account })
const minted = await reader.waitForTransactionReceipt({
  hash: await wallet.writeContract({ ...token, functionName: 'mint', args: [given.other, 5n] }),
})
const refused = await reader
  .simulateContract({ ...token, functionName: 'mint', args: [given.other, 1n], account: given.other })
  .then(() => 'nothing', (error) => error.walk((inner) => inner.data?.errorName)?.data.errorName)
const bundled = await reader.getBlock({ blockNumber: BigInt(given.bundleBlock), includeTransactions: true })
const systemReceipt = await reader.getTransactionReceipt({ hash: bundled.transactions[0].hash })
const block = await reader.getBlock({ blockHash: minted.blockHash, includeTransactions: true })
const events = await reader.getContractEvents({ ...token, fromBlock: 0n, toBlock: 'latest' })

console.log(JSON.stringify({
  address: deployed.contractAddress,
  deployed: deployed.status,
  minted: minted.status,
  gasEnough: gas >= minted.gasUsed,
  balance: Number(await reader.readContract({ ...token, functionName: 'balanceOf', args: [given.other] })),
  name: await reader.readContract({ ...token, functionName: 'name' }),
  refused,
  filtered: (await reader.getFilterChanges({ filter })).map((log) => log.transactionHash),
  watched: (await told).transactionHash,
  minting: minted.transactionHash,
  events: events.map((event) => event.eventName),
  blockHolds: block.transactions.map((transaction) => transaction.hash),
  heads,
  mintBlock: Number(minted.blockNumber),
  bundledTypes: bundled.transactions.map((transaction) => transaction.typeHex ?? transaction.type),
  systemStatus: systemReceipt.status,
}))
stopHeads()
process.exit(0)
