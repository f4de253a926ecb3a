"""For tests of strategies over the bridge: L1 with the registry, two rollups with markets and escrows, the bridge driven by hand."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge.contracts.addresses import (
    CASH_TOKEN,
    L2_CROSS_DOMAIN_MESSENGER,
    LEG_ESCROW,
    OPTIONS_MARKET,
)
from bridge.contracts.artifacts import artifact
from bridge.contracts.codec import Decoded
from bridge.contracts.op import op_artifact
from bridge.contracts.testing import (
    Contract,
    HandBridge,
    HandRollup,
    names,
    ours,
    theirs,
)
from bridge.wire.keccak import to_hex
from orchestrator.market.board import Quote, Terms
from orchestrator.settlement.deployments import deployments
from orchestrator.settlement.messages import refund_margin_s
from orchestrator.settlement.testing import bridge_plan, hand_bridge
from orchestrator.topology.plan import Account, Plan

PLAN: Plan = bridge_plan(("alpha", "beta"), sequencing_window=30)
PEOPLE = {role.name: role for role in PLAN.roles}
MAKER = PEOPLE["maker"]
ALICE, BOB, CAROL = PLAN.users
ALPHA, BETA = (rollup.chain_id for rollup in PLAN.rollups)
MARGIN = refund_margin_s(PLAN)
USD = 1_000_000
UNIT = 10_000
STATES = ("NONE", "LOCKED", "REFUSED", "COMMITTED", "RELEASED", "REFUNDED")
DECISIONS = ("NONE", "COMMIT", "ABORT")
MAX_LIMIT = 2**256 - 1
ZERO = bytes(32)
MARKET = artifact("OptionsMarket").interface


def lower(account: Account) -> str:
    """An address as results spell it."""
    return account.address.lower()


@dataclass(frozen=True, slots=True)
class Strategy:
    """One that was opened."""

    digest: bytes
    decide_by: int
    refund_after: int
    receipt: Mapping[str, Any]


@dataclass(slots=True)
class World:
    """L1 with the registry, two rollups with markets and escrows."""

    bridge: HandBridge
    registry: Contract
    calls: Mapping[int, bytes]
    """By chain id the series of a call, quoted by the maker."""
    puts: Mapping[int, bytes]
    """By chain id the series of a put, quoted by the maker."""

    @property
    def now(self) -> int:
        """Unix seconds."""
        return self.bridge.l1.clock.now

    def wait(self, until: int) -> None:
        """Let time pass on all chains."""
        assert until >= self.now
        self.bridge.l1.clock.now = until

    def rollup(self, chain_id: int) -> HandRollup:
        """One of the rollups."""
        return self.bridge.rollups[chain_id]

    def market(self, chain_id: int) -> Contract:
        """A rollup's market."""
        return ours(self.rollup(chain_id).chain, "OptionsMarket", OPTIONS_MARKET)

    def escrow(self, chain_id: int) -> Contract:
        """A rollup's escrow."""
        return ours(self.rollup(chain_id).chain, "LegEscrow", LEG_ESCROW)

    def buy(self, chain_id: int, quantity: int = UNIT, limit: int = MAX_LIMIT) -> tuple[Any, ...]:
        """A leg: the call."""
        return (self.calls[chain_id], MAKER.address, quantity, limit)

    def sell(self, chain_id: int, quantity: int = UNIT, limit: int = 0) -> tuple[Any, ...]:
        """A leg: the put, written."""
        return (self.puts[chain_id], MAKER.address, -quantity, limit)

    async def open(
        self,
        participants: list[tuple[int, list[tuple[Any, ...]]]] | None = None,
        *,
        opener: Account = ALICE,
        salt: bytes = ZERO,
        decide_s: int = 100,
        refund_s: int = 200,
    ) -> Strategy:
        """Open a strategy: by default a call on alpha is bought and a put on beta written."""
        legs = participants or [(ALPHA, [self.buy(ALPHA)]), (BETA, [self.sell(BETA)])]
        times = (self.now + decide_s, self.now + refund_s)
        receipt = await self.registry.send(opener.address, "open", salt, legs, *times)
        self.bridge.note(receipt)
        event = self.registry.events(receipt)[0]
        return Strategy(event.arguments["strategy"], *times, receipt)

    async def lock(self, chain_id: int) -> list[Decoded]:
        """Derive a rollup's next deposit; what the escrow says."""
        return self.escrow(chain_id).events(await self.bridge.derive(chain_id))

    async def count(self, chain_id: int) -> list[str]:
        """Finalize a rollup's next vote; what the registry says."""
        receipt = await self.bridge.finalize(self.rollup(chain_id).withdrawals[0])
        return names(self.registry.events(receipt))

    async def count_in_a_crowd(self, chain_id: int) -> Mapping[str, Any]:
        """Finalize a rollup's only vote in an L1 block in which its portal has no room for more; the receipt.

        Nobody else may seal L1's blocks meanwhile.
        """
        (withdrawal,) = self.rollup(chain_id).withdrawals
        await self.bridge.prove(withdrawal)
        portal = theirs(self.bridge.l1, "OptimismPortal", self.rollup(chain_id).portal)
        crowd = portal.interface.encode_call("depositTransaction", BOB.address, 0, 19_900_000, False, b"")
        request = {"from": CAROL.address, "to": portal.address, "data": to_hex(crowd), "gas": hex(22_000_000)}
        await self.bridge.l1.client.call("eth_sendTransaction", request | {"gasPrice": hex(10**11)})
        receipt = await portal.send(
            BOB.address, "finalizeWithdrawalTransaction", withdrawal.fields, gas=3_000_000
        )
        self.rollup(chain_id).withdrawals.clear()
        self.bridge.note(receipt)
        return receipt

    async def state(self, strategy: Strategy) -> tuple[str, str, str]:
        """The decision, and what became of the legs on alpha and beta."""
        locks = [
            STATES[(await self.escrow(chain).read("lockOf", strategy.digest))[3]] for chain in (ALPHA, BETA)
        ]
        return (await self.decision(strategy), locks[0], locks[1])

    async def decision(self, strategy: Strategy) -> str:
        """What the registry decided."""
        call = self.registry.interface.encode_call("strategyOf", strategy.digest)
        answer = await self.bridge.l1.call(self.registry.address, call)
        return DECISIONS[self.registry.interface.decode_result("strategyOf", answer)[0][3]]

    async def lie(self, chain_id: int, strategy: Strategy, *, yes: bool) -> None:
        """Put a puppet in the place of a rollup's escrow and make it vote."""
        chain = self.rollup(chain_id).chain
        await chain.place(LEG_ESCROW, artifact("Puppet").creation_code)
        ballot = self.registry.interface.encode_call("vote", strategy.digest, yes, b"")
        messenger = op_artifact("L2CrossDomainMessenger").interface
        call = messenger.encode_call("sendMessage", self.registry.address, ballot, 900_000)
        puppet = ours(chain, "Puppet", LEG_ESCROW)
        self.bridge.note(await puppet.send(BOB.address, "act", L2_CROSS_DOMAIN_MESSENGER, 0, call), chain_id)

    async def money(self, chain_id: int, account: Account) -> tuple[int, int, int]:
        """Free, locked and reserved cash."""
        market = self.market(chain_id)
        free, locked, reserved = [
            await market.read(name, account.address) for name in ("freeCash", "lockedCash", "reservedCash")
        ]
        return free, locked, reserved

    async def held(self, account: Account) -> tuple[int, int]:
        """The call on alpha and the put on beta."""
        return (
            await self.market(ALPHA).read("position", self.calls[ALPHA], account.address),
            await self.market(BETA).read("position", self.puts[BETA], account.address),
        )

    async def is_solvent(self) -> None:
        """Cash held covers free, locked and reserved cash exactly, on each rollup (nothing has settled)."""
        people = (*PLAN.users, MAKER)
        for chain_id in (ALPHA, BETA):
            token = ours(self.rollup(chain_id).chain, "CashToken", CASH_TOKEN)
            claims = sum([sum(await self.money(chain_id, person)) for person in people])
            assert claims == await token.read("balanceOf", OPTIONS_MARKET)


@asynccontextmanager
async def strategies_world(folder: Path) -> AsyncIterator[World]:
    """Engines and contracts, as every test finds them."""
    async with hand_bridge(PLAN, folder) as bridge:
        registry = deployments(PLAN).l1["StrategyRegistry"]
        calls: dict[int, bytes] = {}
        puts: dict[int, bytes] = {}
        expiry = bridge.l1.clock.now + 10_000
        quote = Quote(50 * USD, 51 * USD, 10 * UNIT, 10 * UNIT)
        for chain_id, rollup in bridge.rollups.items():
            market = ours(rollup.chain, "OptionsMarket", OPTIONS_MARKET)
            for series, is_call in ((calls, True), (puts, False)):
                terms = Terms("ETH", 2_000 * USD, expiry, is_call)
                await market.send(MAKER.address, "postQuotes", [(terms.encoded(), quote.encoded())])
                series[chain_id] = await market.read("seriesId", terms.encoded())
        yield World(bridge, ours(bridge.l1, "StrategyRegistry", registry), calls, puts)
