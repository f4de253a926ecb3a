"""The scene of an attack, for tests: a bridge in the middle of its life, with something to steal, and a hostile contract on both sides."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge.contracts.addresses import L2_CROSS_DOMAIN_MESSENGER, L2_TO_L1_MESSAGE_PASSER
from bridge.contracts.artifacts import artifact
from bridge.relayer.withdrawal import Inclusion, Passed, Withdrawal
from orchestrator.settlement.deployments import deployments
from orchestrator.settlement.testing_accounting import MESSENGER, Token, add_token, erc20
from orchestrator.settlement.testing_bridge import INTERVAL, Bridge, RollupSide, attack_plan, bridge_by_hand
from orchestrator.settlement.testing_sides import Call, Receipt, Side, call, theirs
from orchestrator.topology.plan import Account

ETHER = 10**18
"""Wei."""
FRIEND = "0x" + "f1" * 20
"""Has no code anywhere, and nothing at first."""
CROWD = 20
"""Withdrawals of the scene: enough for branches in the tree that they are proven by."""
ACCEPT, REFUSE, BURN = 0, 1, 2
"""Moods of a hostile contract."""


@dataclass(frozen=True, slots=True)
class Intruder:
    """A hostile contract (``BridgeIntruder.sol``)."""

    side: Side
    address: str

    async def feel(self, account: Account, mood: int) -> None:
        """Accept, refuse, or burn all gas."""
        await self.side.send(account, self._call("feel", mood))

    async def rehearse(self, account: Account, *script: Call) -> None:
        """Make these calls when called."""
        await self.side.send(account, self._call("rehearse", _script(script)))

    async def ask(self, account: Account, question: Call) -> None:
        """Ask this before and after the calls."""
        await self.side.send(account, self._call("ask", question.to, question.data))

    def acting(self, *calls: Call, value: int = 0) -> Call:
        """A call that makes it call others, now."""
        return call(artifact("BridgeIntruder").interface, self.address, "act", _script(calls), value=value)

    async def read(self, function: str, *arguments: Any) -> Any:
        """What it noted at its last visit."""
        return await self.side.read(self._call(function, *arguments))

    async def outcomes(self, count: int) -> list[tuple[bool, bytes]]:
        """What became of the calls of its script."""
        return [
            (await self.read("successes", index), await self.read("results", index)) for index in range(count)
        ]

    def _call(self, function: str, *arguments: Any) -> Call:
        return call(artifact("BridgeIntruder").interface, self.address, function, *arguments)


@dataclass(frozen=True, slots=True)
class Scene:
    """What attackers find."""

    bridge: Bridge
    alpha: RollupSide
    beta: RollupSide
    user: Account
    """Has withdrawn."""
    crook: Account
    """Attacks."""
    on_l1: Intruder
    on_l2: Intruder
    """On alpha, at the same address as the one on L1."""
    token: Token
    """Of L1 and alpha; the user has all of it, and half of it on alpha."""
    crowd: Sequence[Passed]
    """Withdrawals of one ether each from alpha, not proven."""
    index: int
    """Of alpha's output that holds them; proposed."""

    @property
    def superchain(self) -> str:
        """SuperchainConfig, where the guardian pauses."""
        return deployments(self.bridge.plan).l1["SuperchainConfigProxy"]

    async def inclusion(self, withdrawal: Withdrawal, index: int | None = None) -> Inclusion:
        """Proof against an output of alpha, by default the scene's."""
        number = ((self.index if index is None else index) + 1) * INTERVAL
        return await self.alpha.inclusion(withdrawal, number)

    async def withdraw(
        self,
        target: str,
        value: int = 0,
        data: bytes = b"",
        gas: int = 200_000,
        rollup: RollupSide | None = None,
    ) -> Passed:
        """The user withdraws through the message passer itself."""
        rollup = rollup or self.alpha
        passer = L2_TO_L1_MESSAGE_PASSER
        wanted = ("initiateWithdrawal", target, gas, data)
        await rollup.send(self.user, theirs("L2ToL1MessagePasser", passer, *wanted, value=value))
        return rollup.passed[-1]

    async def message_to_l1(
        self, account: Account, target: str, data: bytes, value: int = 0, gas: int = 200_000
    ) -> tuple[Passed, Receipt]:
        """Send a message through both messengers; it is not proven yet."""
        wanted = theirs(MESSENGER, L2_CROSS_DOMAIN_MESSENGER, "sendMessage", target, data, gas, value=value)
        receipt = await self.alpha.send(account, wanted)
        return self.alpha.passed[-1], receipt

    async def message_to_l2(
        self, account: Account, target: str, data: bytes, value: int = 0, gas: int = 200_000
    ) -> Receipt:
        """Send a message through both messengers; it is not derived yet. The receipt is L1's."""
        there = self.alpha.where.messenger
        return await self.bridge.l1.send(
            account, theirs(MESSENGER, there, "sendMessage", target, data, gas, value=value)
        )


@contextlib.asynccontextmanager
async def scene_of_attack(directory: Path, crowd: int = CROWD) -> AsyncIterator[Scene]:
    """Two rollups, and all that the scene names.

    Args:
        directory: for what the chains keep.
        crowd: withdrawals of the scene.
    """
    async with bridge_by_hand(attack_plan(), directory) as bridge:
        user, crook = bridge.plan.users[:2]
        alpha, beta = bridge.rollups["alpha"], bridge.rollups["beta"]
        code = artifact("BridgeIntruder").creation_code
        on_l1, on_l2 = [Intruder(side, await side.create(crook, code)) for side in (bridge.l1, alpha)]
        assert on_l1.address == on_l2.address
        token = await _token(bridge, alpha, user)
        withdrawing = [
            theirs(
                "L2ToL1MessagePasser",
                L2_TO_L1_MESSAGE_PASSER,
                "initiateWithdrawal",
                f"0x{0xAB00 + index:040x}",
                100_000,
                bytes([index]),
                value=ETHER,
            )
            for index in range(crowd)
        ]
        await alpha.together(*((user, wanted) for wanted in withdrawing))
        index = await bridge.propose(alpha)
        yield Scene(
            bridge,
            alpha,
            beta,
            user,
            crook,
            on_l1,
            on_l2,
            token,
            tuple(alpha.passed[-crowd:]),
            index,
        )


async def _token(bridge: Bridge, alpha: RollupSide, owner: Account) -> Token:
    code = artifact("CashToken").deployment(owner.address)
    token = await add_token(bridge, alpha, owner, code)
    there, most = alpha.where.standard_bridge, 2**256 - 1
    await bridge.l1.send(owner, erc20(token.l1, "mint", owner.address, most))
    await bridge.l1.send(owner, erc20(token.l1, "approve", there, most))
    arguments = (token.l1, token.l2, most // 2, 200_000, b"")
    await bridge.l1.send(owner, theirs("L1StandardBridge", there, "bridgeERC20", *arguments))
    await alpha.follow()
    return token


def _script(calls: Sequence[Call]) -> list[tuple[str | None, int, bytes]]:
    return [(each.to, each.value, each.data) for each in calls]
