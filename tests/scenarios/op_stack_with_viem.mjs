// What a user of viem's op-stack actions does: deposit, withdraw, prove, finalize. Unmodified viem; prints one JSON document.
// Usage: op_stack_with_viem.mjs '{"l1", "l1ChainId", "l2", "l2ChainId", "key", "other", "multicall", "contracts": {name: address}}'
import { createPublicClient, createWalletClient, defineChain, http, parseEther } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import {
  getL2TransactionHashes,
  publicActionsL1,
  publicActionsL2,
  walletActionsL1,
  walletActionsL2,
} from 'viem/op-stack'

const given = JSON.parse(process.argv[2])
const ether = { name: 'Ether', symbol: 'ETH', decimals: 18 }
const l1 = defineChain({
  id: given.l1ChainId,
  name: 'rollnet L1',
  nativeCurrency: ether,
  rpcUrls: { default: { http: [given.l1] } },
  contracts: { multicall3: { address: given.multicall } },
})
const onL1 = (address) => ({ [l1.id]: { address } })
const l2 = defineChain({
  id: given.l2ChainId,
  name: 'rollnet rollup',
  nativeCurrency: ether,
  sourceId: l1.id,
  rpcUrls: { default: { http: [given.l2] } },
  contracts: Object.fromEntries(Object.entries(given.contracts).map(([name, address]) => [name, onL1(address)])),
})
const account = privateKeyToAccount(given.key)
const pollingInterval = 200
const readL1 = createPublicClient({ chain: l1, transport: http(), pollingInterval }).extend(publicActionsL1())
const readL2 = createPublicClient({ chain: l2, transport: http(), pollingInterval }).extend(publicActionsL2())
const writeL1 = createWalletClient({ account, chain: l1, transport: http() }).extend(walletActionsL1())
const writeL2 = createWalletClient({ account, chain: l2, transport: http() }).extend(walletActionsL2())

// L1 to L2
const before = await readL2.getBalance({ address: given.other })
const deposit = await readL2.buildDepositTransaction({ account, mint: parseEther('1.5'), to: given.other })
const deposited = await readL1.waitForTransactionReceipt({ hash: await writeL1.depositTransaction(deposit) })
const [arrival] = getL2TransactionHashes(deposited)
const arrived = await readL2.waitForTransactionReceipt({ hash: arrival })
const credited = (await readL2.getBalance({ address: given.other })) - before

// L2 to L1
const withdrawal = await readL1.buildInitiateWithdrawal({ account, to: given.other, value: parseEther('0.7') })
const initiated = await readL2.waitForTransactionReceipt({ hash: await writeL2.initiateWithdrawal(withdrawal) })
const early = await readL1.getWithdrawalStatus({ receipt: initiated, targetChain: l2 })
const proving = await readL1.waitToProve({ receipt: initiated, targetChain: l2 })
const proof = await readL2.buildProveWithdrawal({ account, output: proving.output, withdrawal: proving.withdrawal })
const proven = await readL1.waitForTransactionReceipt({ hash: await writeL1.proveWithdrawal(proof) })
const waiting = await readL1.getWithdrawalStatus({ receipt: initiated, targetChain: l2 })
const refused = await writeL1
  .finalizeWithdrawal({ targetChain: l2, withdrawal: proving.withdrawal })
  .then(() => 'finalized early', (error) => error.message)
await readL1.waitToFinalize({ targetChain: l2, withdrawalHash: proving.withdrawal.withdrawalHash })
const owned = await readL1.getBalance({ address: given.other })
const finalized = await readL1.waitForTransactionReceipt({
  hash: await writeL1.finalizeWithdrawal({ targetChain: l2, withdrawal: proving.withdrawal }),
})
const paid = (await readL1.getBalance({ address: given.other })) - owned
const last = await readL1.getWithdrawalStatus({ receipt: initiated, targetChain: l2 })

console.log(
  JSON.stringify({
    deposited: deposited.status,
    arrived: [arrived.status, arrived.type, arrived.transactionHash === arrival],
    credited: String(credited),
    initiated: initiated.status,
    early,
    proven: proven.status,
    waiting,
    refused,
    finalized: finalized.status,
    paid: String(paid),
    last,
  }),
)
process.exit(0)
