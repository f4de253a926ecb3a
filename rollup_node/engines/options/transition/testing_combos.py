"""For tests: several options rollups of one sequencing set in memory, with bundles that take effect on all of them or on none.

A bundle is named, and judged whole or not, by the code that derivation uses; whether its legs succeed is judged by executing them. What a
rollup sends to another's portal is carried there as the deposit that L1 would make of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from eth_abi.abi import decode

from bridge.wire.bundle import decode_bundle
from bridge.wire.deposits import Deposit, apply_alias, encode_deposit
from bridge.wire.keccak import keccak256
from rollup_node.engines.options.state.leaves import Account
from rollup_node.engines.options.transactions.interfaces import COMBOS, EVENTS
from rollup_node.engines.options.transition.block import Executed
from rollup_node.engines.options.transition.testing import (
    AMM_LIMIT,
    EXPIRY,
    MARKET,
    PARAMETERS,
    SYMBOL,
    Desk,
    call_data,
)
from rollup_node.engines.options.values import PRICE_UNIT, QUANTITY_UNIT

STRIKES: Final = (2_600, 2_800, 3_000, 3_200, 3_400)
FUNDS: Final = {"alice": 5_000, "bob": 100_000}
"""Alice locks combos; Bob takes the other side."""
FOREVER: Final = 2**40
"""A bundle's deadline that never comes."""

Side = tuple[int, int, bool, int]
"""Chain, strike in dollars, whether it is a call, and signed contracts."""


def portal(chain: int) -> bytes:
    """A rollup's OptimismPortal on L1."""
    return keccak256(b"portal %d" % chain)[:20]


class Rollups:
    """A set of rollups with the same market.

    Args:
        chains: their ids.
        strikes: calls and puts that each of them lists, dollars.
        funds: dollars of users on each.
        changes: of all their parameters.
    """

    def __init__(
        self,
        chains: Sequence[int] = (901, 902),
        strikes: Sequence[int] = STRIKES,
        funds: Mapping[str, int] = FUNDS,
        **changes: Any,
    ) -> None:
        self.desks: dict[int, Desk] = {}
        self.bundles = 0
        for chain in chains:
            peers = {other: portal(other) for other in chains if other != chain}
            markets = {1: replace(MARKET, amm_limit=AMM_LIMIT)}
            desk = Desk(
                replace(PARAMETERS, chain_id=chain, peers=peers, markets=markets, step_roots=False, **changes)
            )
            listed = desk.open_market(funds, strikes)
            self.desks[chain] = desk
            self.series = {
                (strike, is_call): listed[2 * place + (not is_call)]
                for place, strike in enumerate(strikes)
                for is_call in (True, False)
            }
        for desk in self.desks.values():  # the market maker has cash
            amount = 20_000 * PRICE_UNIT
            desk.block(desk.send("bob", "transfer", desk.account("bob"), 1, amount))

    def account(self, chain: int, user: str = "alice") -> Account:
        """A user's account on a rollup."""
        desk = self.desks[chain]
        return desk.world.accounts[desk.account(user)]

    @property
    def heard(self) -> int:
        """Time of the last word of the oracle that all rollups have."""
        return min(desk.world.oracles[1].timestamp for desk in self.desks.values())

    def legs(self, sides: Sequence[Side], user: str = "alice") -> tuple[tuple[Any, ...], ...]:
        """Legs as ``lockCombo`` takes them."""
        return tuple(
            (chain, self.desks[chain].account(user), SYMBOL, EXPIRY, strike * PRICE_UNIT, is_call, contracts * QUANTITY_UNIT)
            for chain, strike, is_call, contracts in sides
        )  # fmt: skip

    def trades(self, chain: int, sides: Sequence[Side], user: str = "alice") -> tuple[bytes, ...]:
        """Calldata that trades a rollup's legs with its market maker at any price."""
        desk = self.desks[chain]
        return tuple(
            call_data(
                "tradeAmm",
                desk.account(user),
                self.series[strike, is_call],
                contracts > 0,
                abs(contracts) * QUANTITY_UNIT,
                2**64 - 1 if contracts > 0 else 0,
            )
            for where, strike, is_call, contracts in sides
            if where == chain
        )

    def locks(
        self, sides: Sequence[Side], *, trade: bool = True, user: str = "alice"
    ) -> dict[int, list[bytes]]:
        """The legs of a bundle that trades a strategy and locks it, by rollup."""
        legs = self.legs(sides, user)
        found: dict[int, list[bytes]] = {}
        snapshot = self.heard
        for chain in sorted({side[0] for side in sides}):
            desk = self.desks[chain]
            calls = self.trades(chain, sides, user) if trade else ()
            found[chain] = [desk.send(user, "lockCombo", legs, snapshot, calls)]
        return found

    def unlocks(self, sides: Sequence[Side], name: bytes, user: str = "alice") -> dict[int, list[bytes]]:
        """The legs of a bundle that frees a strategy again, by rollup."""
        legs = self.legs(sides, user)
        return {
            chain: [self.desks[chain].send(user, "unlockCombo", legs, 1, name)]
            for chain in sorted({side[0] for side in sides})
        }

    def run(self, parts: Mapping[int, Sequence[bytes]]) -> tuple[bytes, list[str]]:
        """Execute a bundle: its name, and why it has no effect; no reasons if it has.

        Raises:
            Malformed: it is no bundle.
        """
        self.bundles += 1
        raws = [raw for chain in sorted(parts) for raw in parts[chain]]
        name = decode_bundle(raws, FOREVER, self.bundles.to_bytes(32, "big")).hash
        marks = {chain: self.desks[chain].world.mark() for chain in parts}
        reasons: list[str] = []
        for chain in sorted(parts):
            executed = self.desks[chain].block(*self.desks[chain].bundle(*parts[chain], name=name))
            reasons += [result.reason for result in executed.results if result.status != "success"]
        if reasons:  # the world goes back as staging has it; the block is executed without the bundle
            for chain in parts:
                self.desks[chain].world.undo(marks[chain])
                self.desks[chain].history.pop()
                self.desks[chain].block(seconds=0)
        return name, reasons

    def single(self, chain: int, *raws: bytes, seconds: int = 1) -> list[str]:
        """A block of one rollup; reasons of what failed."""
        executed = self.desks[chain].block(*raws, seconds=seconds)
        return [result.reason for result in executed.results if result.status != "success"]

    def expire(self, dollars: float) -> dict[int, Executed]:
        """To the end of all series, at a price that holds through the whole averaging."""
        ended = {}
        for chain, desk in self.desks.items():
            spot = round(dollars * PRICE_UNIT)
            for before in (120, 61):
                desk.timestamp = EXPIRY - before
                desk.block(desk.update(spot))
            desk.timestamp = EXPIRY
            ended[chain] = desk.block(desk.update(spot))
        return ended

    def carried(self, ended: Mapping[int, Executed]) -> dict[int, list[bytes]]:
        """What L1 makes of payments to other rollups' portals: deposits, by the rollup that they go to."""
        portals = {portal(chain): chain for chain in self.desks}
        found: dict[int, list[bytes]] = {chain: [] for chain in self.desks}
        for source, executed in ended.items():
            for log in (log for receipt in executed.receipts for log in receipt.logs):
                if log.topics[0] != EVENTS["MessagePassed"].topic or log.topics[2][12:] != COMBOS:
                    continue
                value, _, data, digest = decode(["uint256", "uint256", "bytes", "bytes32"], log.data)
                target = portals[log.topics[3][12:]]
                to, paid, gas, _, call = decode(["address", "uint256", "uint64", "bool", "bytes"], data[4:])
                assert (COMBOS.hex(), value) == (to[2:], paid)
                sender = apply_alias(portal(source))
                self.desks[target].deposited += value
                deposit = Deposit(
                    keccak256(digest), sender, COMBOS, value, value, gas, is_system=False, data=call
                )
                found[target].append(encode_deposit(deposit))
        return found
