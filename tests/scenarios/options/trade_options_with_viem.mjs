// What a viem user does on an options rollup, with nothing special about it; prints one JSON document.
// Usage: trade_options_with_viem.mjs '{"http", "chainId", "key", "artifacts", "accounts", "exchange", "series"}'
import { readFileSync } from 'node:fs'
import { createPublicClient, createWalletClient, defineChain, http, keccak256, parseEventLogs, toHex, toRlp } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'

const given = JSON.parse(process.argv[2])
const abiOf = (name) => JSON.parse(readFileSync(`${given.artifacts}/${name}.json`)).abi
const abi = abiOf('IOptionsExchange')
const chain = defineChain({
  id: given.chainId,
  name: 'options',
  nativeCurrency: { name: 'Dollar', symbol: 'USD', decimals: 18 },
  rpcUrls: { default: { http: [given.http] } },
})
const reader = createPublicClient({ chain, transport: http(), pollingInterval: 50 })
const account = privateKeyToAccount(given.key)
const wallet = createWalletClient({ account, chain, transport: http() })
const exchange = { address: given.exchange, abi }

const [number] = await reader.readContract({
  address: given.accounts,
  abi: abiOf('IOptionsAccounts'),
  functionName: 'accountsOf',
  args: [account.address],
})
const trade = (series) => ({
  ...exchange,
  functionName: 'tradeAmm',
  args: [number, series, true, 10_000n, 2n ** 64n - 1n],
  account,
})
const before = await reader.getBalance({ address: account.address })
const { request } = await reader.simulateContract(trade(given.series))
const gas = await reader.estimateContractGas(trade(given.series))
const hash = await wallet.writeContract(request)
const receipt = await reader.waitForTransactionReceipt({ hash })
const sent = await reader.getTransaction({ hash })
const [filled] = parseEventLogs({ abi, eventName: 'Trade', logs: receipt.logs })
const found = await reader.getContractEvents({ ...exchange, eventName: 'Trade', blockHash: receipt.blockHash })
const refused = await reader
  .simulateContract(trade(999))
  .then(() => 'nothing', (error) => error.walk((inner) => inner.data?.errorName).data)

const block = await reader.getBlock({ blockHash: receipt.blockHash })
const integer = (value) => (BigInt(value) === 0n ? '0x' : toHex(BigInt(value)))
const header = [
  block.parentHash, block.sha3Uncles, block.miner, block.stateRoot, block.transactionsRoot, block.receiptsRoot, block.logsBloom,
  integer(block.difficulty), integer(block.number), integer(block.gasLimit), integer(block.gasUsed), integer(block.timestamp),
  block.extraData, block.mixHash, block.nonce, integer(block.baseFeePerGas),
]

console.log(JSON.stringify({
  chainId: await reader.getChainId(),
  account: number,
  status: receipt.status,
  type: sent.type,
  gasEnough: gas >= receipt.gasUsed,
  poorer: (await reader.getBalance({ address: account.address })) !== before,
  trade: [filled.args.series, filled.args.taker, String(filled.args.quantity)],
  logs: found.map((log) => log.transactionHash).includes(hash),
  refused: [refused.errorName, refused.args.map(String)],
  blockHash: block.hash,
  headerHash: keccak256(toRlp(header)),
}))
