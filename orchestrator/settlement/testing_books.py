"""The books of a random run over a bridge, for tests: what the chains said, what they hold, and how all of it is read at once."""

from dataclasses import dataclass, field
from functools import cache

from bridge.contracts.addresses import PREINSTALLS
from bridge.contracts.codec import Interface
from bridge.contracts.op import op_artifact
from bridge.relayer.withdrawal import Withdrawal
from bridge.wire.deposits import Deposit
from orchestrator.settlement.testing_accounting import BRIDGE, Message
from orchestrator.settlement.testing_sides import Call, Side, call

L1, L2 = "l1", "l2"
"""The two sides."""


class Unbalanced(AssertionError):  # noqa: N818 - names what was found
    """What is held isn't what is in the books."""


@dataclass(slots=True)
class Books:
    """What the chains said."""

    holds: dict[tuple[str, str], int]
    """Wei of those who pay no gas, by chain and lower-case address."""
    tokens: dict[tuple[str, str], int]
    """Units of the user and the friend."""
    alive: int
    """Wei on the rollup."""
    portal: int
    """Wei."""
    stranded: int = 0
    arriving: list[tuple[str, Deposit]] = field(default_factory=list)
    """Deposits that are not derived, with the hashes of their transactions."""
    leaving: dict[str, Withdrawal] = field(default_factory=dict)
    """Not finalized, by hash."""
    messages: dict[tuple[str, bytes], Message] = field(default_factory=dict)
    """By where they go and hash: one hash can be that of a message up and of another one down."""
    done: set[tuple[str, bytes]] = field(default_factory=set)
    """Messages that succeeded."""
    failed: set[tuple[str, bytes]] = field(default_factory=set)
    """Messages that a messenger keeps."""

    def move(self, where: str, payer: str | None, payee: str | None, wei: int) -> None:
        """Book a payment between those who are in the books."""
        for who, change in ((payer, -wei), (payee, wei)):
            if who is not None and (where, who.lower()) in self.holds:
                self.holds[where, who.lower()] += change


@dataclass(frozen=True, slots=True)
class Seen:
    """What the chains hold."""

    portal: int
    alive: int
    held: int
    """Tokens that the bridge on L1 has."""
    booked: int
    """Tokens that it believes to have."""
    supply: int
    """Tokens on the rollup."""
    holds: dict[tuple[str, str], int]
    tokens: dict[tuple[str, str], int]


MULTICALL = Interface(
    [
        {
            "type": "function",
            "name": "aggregate3",
            "inputs": [
                {
                    "type": "tuple[]",
                    "components": [{"type": "address"}, {"type": "bool"}, {"type": "bytes"}],
                }
            ],
            "outputs": [{"type": "tuple[]", "components": [{"type": "bool"}, {"type": "bytes"}]}],
        },
        {
            "type": "function",
            "name": "getEthBalance",
            "inputs": [{"type": "address"}],
            "outputs": [{"type": "uint256"}],
        },
    ]
)
"""What is used here of MultiCall3, which is in every genesis."""


@cache
def wei_of(address: str) -> Call:
    """Asks for a balance."""
    return call(MULTICALL, PREINSTALLS["MultiCall3"], "getEthBalance", address)


async def words_of(side: Side, asked: list[Call]) -> list[int]:
    """The answers to many questions, in one."""
    calls = [(one.to, False, one.data) for one in asked]
    answers = await side.read(call(MULTICALL, PREINSTALLS["MultiCall3"], "aggregate3", calls))
    return [int.from_bytes(answer, "big") for _, answer in answers]


def balanced(what: str, expected: int, found: int) -> None:
    """Raise if they differ."""
    if expected != found:
        raise Unbalanced(f"{what}: {found} is held, {expected} is accounted for")


def selector(function: str) -> bytes:
    """Of a function that a standard bridge calls on the other one."""
    interface = op_artifact(BRIDGE).interface
    addresses = 4 if function == "finalizeBridgeERC20" else 2
    return interface.encode_call(function, *["0x" + "00" * 20] * addresses, 0, b"")[:4]
