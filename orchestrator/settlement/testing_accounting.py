"""Who holds what on both sides of a bridge, read from the chains alone, for tests: nothing here trusts a model.

::

    a portal's ether      =  the rollup's ether  +  withdrawals not yet finalized  +  what finalized without reaching its target
    a token in the bridge =  its twin's supply on the rollup  +  messages, either way, that did not succeed yet
"""

import gzip
import itertools
from dataclasses import dataclass
from typing import Any, Final

import orjson

from bridge.contracts.addresses import L2_CROSS_DOMAIN_MESSENGER, L2_STANDARD_BRIDGE, L2_TO_L1_MESSAGE_PASSER
from bridge.contracts.artifacts import artifact
from bridge.contracts.op import op_artifact
from bridge.wire.deposits import decode_deposit
from bridge.wire.keccak import from_hex, keccak256, to_hex
from orchestrator.settlement.testing_bridge import Bridge, RollupSide
from orchestrator.settlement.testing_chains import events
from orchestrator.settlement.testing_sides import Call, Receipt, Side, call, theirs
from orchestrator.topology.plan import Account

MESSENGER: Final = "L1CrossDomainMessenger"
"""Its interface serves both messengers: what they share is all that is used here."""
BRIDGE: Final = "L1StandardBridge"
"""As above, for the standard bridges."""
FACTORY: Final = "0x4200000000000000000000000000000000000012"
"""OptimismMintableERC20Factory predeploy."""


@dataclass(frozen=True, slots=True)
class Message:
    """What a messenger was asked to carry."""

    nonce: int
    sender: str
    target: str
    value: int
    gas: int
    data: bytes

    @property
    def struct(self) -> tuple[int, str, str, int, int, bytes]:
        """As ``relayMessage`` takes it."""
        return (self.nonce, self.sender, self.target, self.value, self.gas, self.data)

    @property
    def hash(self) -> bytes:
        """Its name: keccak256 of the call that relays it."""
        return keccak256(self.relay("0x" + "00" * 20).data)

    def relay(self, messenger: str) -> Call:
        """The call that relays, or replays, it."""
        return theirs(MESSENGER, messenger, "relayMessage", *self.struct)


def sent(receipt: Receipt, messenger: str) -> list[Message]:
    """The messages that a transaction handed to a messenger, in order."""
    found = events(dict(receipt), MESSENGER, messenger)
    return [
        _message(first.arguments, second.arguments["value"])
        for first, second in itertools.pairwise(found)
        if first.name == "SentMessage"
    ]


async def relayed(side: Side, messenger: str, message: Message) -> tuple[bool, bool]:
    """Whether a messenger knows a message as successful, and as failed at some time."""
    success = await side.read(theirs(MESSENGER, messenger, "successfulMessages", message.hash))
    failed = await side.read(theirs(MESSENGER, messenger, "failedMessages", message.hash))
    return success, failed


@dataclass(frozen=True, slots=True)
class Ether:
    """Where the ether of a rollup is, wei."""

    held: int
    """By the portal."""
    alive: int
    """On the rollup, without what was withdrawn and lies in the message passer."""
    leaving: int
    """In withdrawals that are not finalized."""
    stranded: int
    """In withdrawals that were finalized but whose target did not take it, and deposits that could not be executed."""

    @property
    def surplus(self) -> int:
        """What the portal holds and nobody can claim; negative if somebody can claim what isn't there."""
        return self.held - self.alive - self.leaving - self.stranded


async def ether(bridge: Bridge, rollup: RollupSide) -> Ether:
    """Derive what L1 has deposited, and count."""
    await rollup.follow()
    dump = orjson.loads(gzip.decompress(from_hex(await rollup.request("anvil_dumpState"))))
    accounts = {address.lower(): int(account["balance"], 16) for address, account in dump["accounts"].items()}
    withdrawn = accounts.pop(L2_TO_L1_MESSAGE_PASSER)
    assert withdrawn >= 0
    portal = op_artifact("OptimismPortal").interface
    wanted = {"fromBlock": "0x0", "toBlock": "latest", "address": rollup.portal}
    finalized: dict[str, bool] = {}
    for log in await bridge.l1.request("eth_getLogs", wanted):
        event = portal.decode_event([from_hex(topic) for topic in log["topics"]], from_hex(log["data"]))
        if event is not None and event.name == "WithdrawalFinalized":
            finalized[to_hex(event.arguments["withdrawalHash"])] = event.arguments["success"]
    passed = {found.withdrawal.hash: found.withdrawal.value for found in rollup.passed}
    return Ether(
        held=await bridge.l1.balance(rollup.portal),
        alive=sum(accounts.values()),
        leaving=sum(value for name, value in passed.items() if name not in finalized),
        stranded=sum(value for name, value in passed.items() if finalized.get(name) is False)
        + sum(decode_deposit(from_hex(raw)).mint for raw in rollup.left_out),
    )


@dataclass(frozen=True, slots=True)
class Token:
    """An ERC-20 of L1 and its twin on a rollup."""

    l1: str
    l2: str


async def add_token(bridge: Bridge, rollup: RollupSide, owner: Account, code: bytes) -> Token:
    """Create a token on L1 and its twin, by the factory predeploy.

    Args:
        bridge: where.
        rollup: for whom.
        owner: creates both.
        code: creation code of the one on L1.
    """
    l1 = await bridge.l1.create(owner, code)
    made = await rollup.send(
        owner,
        theirs("OptimismMintableERC20Factory", FACTORY, "createOptimismMintableERC20", l1, "twin", "TWIN"),
    )
    created = events(dict(made), "OptimismMintableERC20Factory", FACTORY)[-1]
    return Token(l1, created.arguments["localToken"])


def erc20(token: str, function: str, *arguments: Any) -> Call:
    """A call of a token."""
    return call(artifact("CashToken").interface, token, function, *arguments)


@dataclass(frozen=True, slots=True)
class Tokens:
    """Where an ERC-20 is."""

    held: int
    """By the bridge on L1."""
    booked: int
    """What that bridge believes to hold for this twin."""
    alive: int
    """The twin's supply."""
    leaving: int
    """In messages to L1 that did not succeed."""
    arriving: int
    """In messages to the rollup that did not succeed."""

    @property
    def surplus(self) -> int:
        """As of :class:`Ether`."""
        return self.booked - self.alive - self.leaving - self.arriving


async def tokens(bridge: Bridge, rollup: RollupSide, token: Token) -> Tokens:
    """Derive what L1 has deposited, and count."""
    await rollup.follow()
    l1 = rollup.where.standard_bridge
    here = _End(bridge.l1, rollup.where.messenger, l1, token.l1)
    there = _End(rollup, L2_CROSS_DOMAIN_MESSENGER, L2_STANDARD_BRIDGE, token.l2)
    return Tokens(
        held=await bridge.l1.read(erc20(token.l1, "balanceOf", l1)),
        booked=await bridge.l1.read(theirs(BRIDGE, l1, "deposits", token.l1, token.l2)),
        alive=await rollup.read(erc20(token.l2, "totalSupply")),
        leaving=await _on_the_way(there, here),
        arriving=await _on_the_way(here, there),
    )


@dataclass(frozen=True, slots=True)
class _End:
    """What stands on one side."""

    side: Side
    messenger: str
    bridge: str
    token: str


async def _on_the_way(source: _End, destination: _End) -> int:
    """Tokens in messages that did not succeed yet."""
    wanted = {"fromBlock": "0x0", "toBlock": "latest", "address": source.messenger}
    logs = await source.side.request("eth_getLogs", wanted)
    amount = 0
    for message in sent({"logs": logs}, source.messenger):
        found = _amount(message, source, destination)
        if found and not (await relayed(destination.side, destination.messenger, message))[0]:
            amount += found
    return amount


def _message(arguments: Any, value: int) -> Message:
    return Message(
        nonce=arguments["messageNonce"],
        sender=arguments["sender"],
        target=arguments["target"],
        value=value,
        gas=arguments["gasLimit"],
        data=arguments["message"],
    )


def _amount(message: Message, source: _End, destination: _End) -> int:
    """What a message from one standard bridge to the other pays out of this pair of tokens."""
    ends = (message.sender.lower(), message.target.lower())
    if ends != (source.bridge.lower(), destination.bridge.lower()) or message.data[:4] != _PAY[:4]:
        return 0
    token, twin, _, _, amount, _ = op_artifact(BRIDGE).interface.decode_arguments(
        "finalizeBridgeERC20", message.data
    )
    pair = (token.lower(), twin.lower())
    return int(amount) if pair == (destination.token.lower(), source.token.lower()) else 0


_PAY = op_artifact(BRIDGE).interface.encode_call("finalizeBridgeERC20", *(["0x" + "00" * 20] * 4), 0, b"")
