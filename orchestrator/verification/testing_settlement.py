"""For tests of settlement under faults: one rollup's contracts on L1, asked directly, and its proposer's key, used behind its back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from bridge.contracts.op import op_artifact
from bridge.wire.keccak import from_hex, to_hex
from bridge.wire.signing import UnsignedTransaction, sign_transaction
from orchestrator.chains import ChainHandle
from orchestrator.devnet import Devnet
from orchestrator.errors import RollnetError
from orchestrator.settlement.deployments import RollupDeployment, deployments
from orchestrator.topology.plan import Account
from orchestrator.waiting import eventually

ORACLE = op_artifact("L2OutputOracle").interface
GWEI = 10**9
WITHIN_S = 30.0
"""Longest wait for anything, seconds."""


@dataclass(frozen=True)
class Settlement:
    """One rollup of a devnet, as L1 sees it."""

    net: Devnet
    name: str
    """Of the rollup."""

    @property
    def rollup(self) -> ChainHandle:
        """Its chain."""
        return self.net.rollup(self.name)

    @property
    def contracts(self) -> RollupDeployment:
        """Addresses on L1."""
        return deployments(self.net.plan).rollups[self.name]

    @property
    def proposer(self) -> Account:
        """Whose key the rollup's node proposes with."""
        return self.net.plan.role(f"{self.name}-proposer")

    @property
    def interval(self) -> int:
        """L2 blocks between two outputs."""
        (rollup,) = (rollup for rollup in self.net.plan.rollups if rollup.name == self.name)
        return rollup.settlement.proposal_interval

    async def ask(self, function: str, *arguments: Any, block: str = "latest") -> Any:
        """What a view function of the oracle returns.

        Raises:
            RollnetError: it reverts, or L1 does not answer.
        """
        call = {
            "to": self.contracts.output_oracle,
            "data": to_hex(ORACLE.encode_call(function, *arguments)),
        }
        values = ORACLE.decode_result(function, from_hex(await self.net.l1.rpc("eth_call", call, block)))
        return values[0] if len(values) == 1 else values

    async def output(self, index: int) -> tuple[str, int, int] | None:
        """Root, L1 timestamp and L2 block of an output, if there is one."""
        try:
            root, timestamp, number = await self.ask("getL2Output", index)
        except RollnetError:
            return None
        return to_hex(root), timestamp, number

    async def outputs(self) -> list[tuple[str, int]]:
        """Root and L2 block of every output."""
        found = [await self.output(index) for index in range(await self.ask("nextOutputIndex"))]
        return [(each[0], each[2]) for each in found if each is not None]

    async def all_right(self, at_least: int) -> None:
        """Wait for outputs up to a block; each is then what the node says, at its distance from the one before.

        Raises:
            RollnetError: not in time.
            AssertionError: one is wrong, or missing.
        """

        async def there() -> bool:
            return bool(await self.ask("latestBlockNumber") >= at_least)

        await eventually(there, WITHIN_S, f"an output of block {at_least} of {self.name}")
        found = await self.outputs()
        told = [
            (str((await self.rollup.rpc("optimism_outputAtBlock", hex(number)))["outputRoot"]), number)
            for number in range(self.interval, self.interval * (len(found) + 1), self.interval)
        ]
        assert told == found

    async def safe(self) -> int:
        """The rollup's safe head."""
        return await tagged(self.rollup, "safe")

    async def nothing_due(self) -> bool:
        """Whether every output that can be proposed is."""
        return bool(await self.ask("nextBlockNumber") > await self.safe())

    async def in_flight(self) -> Mapping[str, Any] | None:
        """A transaction of the proposer that L1 has not mined yet."""
        pool = (await self.net.l1.rpc("txpool_content"))["pending"]
        found = {sender.lower(): sent for sender, sent in pool.items()}
        return next(iter(found.get(self.proposer.address.lower(), {}).values()), None)

    async def has_in_flight(self) -> bool:
        """Whether there is one."""
        return await self.in_flight() is not None

    async def proposals(self) -> list[tuple[int, bool]]:
        """L2 block and success of each transaction of the proposer to the oracle, in their order on L1."""
        found = []
        for number in range(await self.net.l1.height() + 1):
            block = await self.net.l1.rpc("eth_getBlockByNumber", hex(number), True)
            for sent in block["transactions"]:
                parties = (sent["from"], sent["to"])
                if parties == (self.proposer.address.lower(), self.contracts.output_oracle.lower()):
                    receipt = await self.net.l1.receipt(sent["hash"])
                    assert receipt is not None, sent["hash"]
                    told = ORACLE.decode_arguments("proposeL2Output", from_hex(sent["input"]))
                    found.append((int(told[1]), receipt["status"] == "0x1"))
        return found

    async def propose(self, root: str, number: int, nonce: int) -> None:
        """Send a proposal with the proposer's own key, dearer than any of the node's.

        Raises:
            RollnetError: L1 does not take it, for it has mined another transaction of this nonce.
        """
        data = ORACLE.encode_call("proposeL2Output", from_hex(root), number, bytes(32), 0)
        await send(self.net.l1, self.proposer, self.contracts.output_oracle, data, nonce=nonce, tip=50 * GWEI)

    async def mined(self, nonce: int) -> None:
        """Wait until L1 has taken a nonce of the proposer.

        Raises:
            RollnetError: not in time.
        """

        async def taken() -> bool:
            return await next_nonce(self.net.l1, self.proposer, "latest") > nonce

        await eventually(taken, WITHIN_S, f"nonce {nonce} of {self.proposer.name} is mined", every_s=0.01)

    async def deletions(self) -> list[dict[str, Any]]:
        """What its challenger deleted, by its journal, and how many seconds after the proposal by L1's clock."""
        journal = map(orjson.loads, self.net.directory.journal_of(self.name).read_bytes().splitlines())
        wanted = {
            "address": self.contracts.output_oracle,
            "topics": [to_hex(ORACLE.topic("OutputProposed"))],
            "fromBlock": "0x0",
        }
        logs = await self.net.l1.rpc("eth_getLogs", wanted)
        proposed = {log["topics"][1]: int(log["data"], 16) for log in logs}
        found = []
        for told in [event["attrs"] for event in journal if event["event"] == "output.deleted"]:
            receipt = await self.net.l1.receipt(told["l1_tx"])
            assert receipt is not None, told
            block = await self.net.l1.rpc("eth_getBlockByNumber", receipt["blockNumber"], False)
            found.append({**told, "seconds": int(block["timestamp"], 16) - proposed[told["root"]]})
        return found


async def tagged(chain: ChainHandle, tag: str) -> int:
    """Number of a tagged block."""
    return int((await chain.rpc("eth_getBlockByNumber", tag, False))["number"], 16)


async def now_on_l1(net: Devnet) -> int:
    """Timestamp of L1's head, unix seconds."""
    return int((await net.l1.rpc("eth_getBlockByNumber", "latest", False))["timestamp"], 16)


async def next_nonce(chain: ChainHandle, account: Account, tag: str = "pending") -> int:
    """Of an account."""
    return int(await chain.rpc("eth_getTransactionCount", account.address, tag), 16)


async def send(
    chain: ChainHandle,
    account: Account,
    to: str,
    data: bytes,
    *,
    value: int = 0,
    nonce: int | None = None,
    tip: int = GWEI,
) -> str:
    """Sign and send, with gas to spare, whether it would succeed or not; its hash.

    Raises:
        RollnetError: it is not taken.
    """
    place = await next_nonce(chain, account) if nonce is None else nonce
    unsigned = UnsignedTransaction(
        chain.chain_id, place, 100 * GWEI + tip, tip, 1_000_000, from_hex(to), data, value
    )
    raw = sign_transaction(unsigned, account.private_key)
    return str(await chain.rpc("eth_sendRawTransaction", to_hex(raw)))
