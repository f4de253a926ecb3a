"""A combo locked over two options rollups, on real nodes: traded and locked in one bundle, settled, and paid from one rollup to the other over L1."""

import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bridge.wire.signing import UnsignedTransaction, sign_transaction
from orchestrator.chains import Refused
from orchestrator.devnet import Devnet
from orchestrator.verification import live_sources, verify
from orchestrator.waiting import eventually
from rollup_node.engines.options.transactions.interfaces import COMBOS
from rollup_node.engines.options.transition.testing import SYMBOL, call_data

pytestmark = [pytest.mark.process, pytest.mark.long, pytest.mark.timeout(180)]

LIFE_S = 30
QUICK = f"""l1: {{block_time: 300ms, confirmations: 1}}
messaging: {{slot: 100ms, publish_every: 300ms}}
market: {{underlying: ETH, spot: 2000, volatility: 0.6, expiries: [{LIFE_S}s, 30d]}}"""
ROLLUP = "{engine: options, block_time: 1s, settlement: {challenge_period: 1s, proposal_interval: 1s}}"
DOLLAR, CONTRACT = 10**6, 10**4
SHORT, LONG = 1_800, 1_900
"""Both are in the money at 2,000: the short leg pays 200 dollars on gamma, the long one 100 on delta."""


class Pair:
    """Two rollups, and a user on both."""

    def __init__(self, net: Devnet) -> None:
        self.net, self.user = net, net.accounts[0]
        self.chains = {rollup.name: rollup.chain_id for rollup in net.plan.rollups}

    async def ask(self, rollup: str, method: str, *params: Any) -> Any:
        """Of a rollup's public RPC."""
        return await self.net.rollup(rollup).rpc(method, *params)

    async def account(self, rollup: str) -> dict[str, Any]:
        """The user's, on a rollup."""
        (number, *_) = (await self.ask(rollup, "options_getAccounts", self.user.address))["accounts"]
        found: dict[str, Any] = await self.ask(rollup, "options_getAccount", number)
        return found

    async def states(self) -> dict[str, list[str]]:
        """Of the user's combos."""
        found = {}
        for rollup in self.chains:
            number = (await self.account(rollup))["account"]
            found[rollup] = [one["state"] for one in await self.ask(rollup, "options_getCombos", number)]
        return found

    async def lock(self) -> list[bytes]:
        """Legs of the bundle that sells on gamma, buys on delta, and locks both."""
        accounts = {rollup: (await self.account(rollup))["account"] for rollup in self.chains}
        listed = {rollup: await self.ask(rollup, "options_getSeries") for rollup in self.chains}
        expiry = min(one["expiry"] for one in listed["gamma"])
        sides = {"gamma": (SHORT, -CONTRACT), "delta": (LONG, CONTRACT)}
        legs = tuple(
            (self.chains[rollup], accounts[rollup], SYMBOL, expiry, strike * DOLLAR, True, size)
            for rollup, (strike, size) in sides.items()
        )
        heard = min([(await self.ask(rollup, "options_getMarks"))[0]["timestamp"] for rollup in sides])
        raws = []
        for rollup, (strike, size) in sides.items():
            wanted = (expiry, str(strike * DOLLAR), True)
            series = next(
                one["series"]
                for one in listed[rollup]
                if (one["expiry"], one["strike"], one["isCall"]) == wanted
            )
            trade = (accounts[rollup], series, size > 0, CONTRACT, 2**64 - 1 if size > 0 else 0)
            data = call_data("lockCombo", legs, heard, (call_data("tradeAmm", *trade),))
            nonce = int(await self.ask(rollup, "eth_getTransactionCount", self.user.address, "latest"), 16)
            unsigned = UnsignedTransaction(self.chains[rollup], nonce, 10**9, 0, 2_000_000, COMBOS, data)
            raws.append(sign_transaction(unsigned, self.user.private_key))
        return raws

    async def send(self, raws: list[bytes]) -> str:
        """A bundle."""
        deadline, salt = int(time.time()) + 20, secrets.token_bytes(32)
        return await self.net.sequencer.send_bundle(raws, deadline, salt)


async def test_a_combo_is_locked_settled_and_paid_over_l1(
    launched: Any, topology_file: Callable[..., Path]
) -> None:
    """Half a lock isn't admitted; the whole one asks for the width; what the long leg pays on delta arrives on gamma; L1 alone gives it all again."""
    topology = topology_file("combos", ("gamma", "delta"), QUICK, gamma=ROLLUP, delta=ROLLUP)
    async with launched(topology) as net:
        pair = Pair(net)
        raws = await pair.lock()
        with pytest.raises(Refused, match="every rollup that a combo names"):
            await pair.send(raws[:1])
        await pair.send(raws)
        await _reached(pair, {"gamma": ["locked"], "delta": ["locked"]}, 20)
        gamma, delta = [await pair.account(rollup) for rollup in ("gamma", "delta")]
        assert (str((LONG - SHORT) * DOLLAR), "0") == (gamma["locked"], delta["locked"])
        assert [str(CONTRACT)] == [one["quantity"] for one in delta["locks"]]

        await _reached(pair, {"gamma": [], "delta": []}, LIFE_S + 60)
        after = [await pair.account(rollup) for rollup in ("gamma", "delta")]
        assert int(gamma["cash"]) - (2_000 - SHORT) * DOLLAR + (2_000 - LONG) * DOLLAR == int(
            after[0]["cash"]
        )
        assert ("0", "0", []) == (after[0]["due"], after[0]["locked"], after[0]["locks"])
        assert delta["cash"] == after[1]["cash"]
        async with live_sources(net.directory.path) as sources:
            assert "valid" == (await verify(sources)).verdict


async def _reached(pair: Pair, wanted: dict[str, list[str]], within_s: float) -> None:
    async def reached() -> bool:
        return await pair.states() == wanted

    await eventually(reached, within_s, f"combos to be {wanted}")
