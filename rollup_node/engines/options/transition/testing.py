"""For tests and benchmarks of the transition: a small rollup in memory, with users that sign and a feed that speaks.

Everything goes in as raw transactions, as it would from a payload; nothing reaches around the spine.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from coincurve import PrivateKey

from bridge.wire.deposits import Deposit, encode_deposit
from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.signing import UnsignedTransaction, address_of, sign_transaction
from bridge.wire.system import close_guard, open_guard
from rollup_node.engines.options.transactions import abi
from rollup_node.engines.options.transactions.actions import action_digest, quote_digest, update_digest
from rollup_node.engines.options.transactions.interfaces import BY_NAME, EVENTS
from rollup_node.engines.options.transactions.receipts import Receipt
from rollup_node.engines.options.transition.accounts import owner_of
from rollup_node.engines.options.transition.block import BlockContent, Executed, execute
from rollup_node.engines.options.transition.context import NO_BUNDLE, WEI_PER_CASH
from rollup_node.engines.options.transition.genesis import create
from rollup_node.engines.options.transition.parameters import Market, Parameters
from rollup_node.engines.options.values import PRICE_UNIT, QUANTITY_UNIT, WAD

CHAIN_ID: Final = 901
START: Final = 1_800_000_000
"""Timestamp of the genesis."""
SYMBOL: Final = b"ETH".ljust(32, b"\0")
AMM_LIMIT: Final = 1_000 * PRICE_UNIT * QUANTITY_UNIT
"""A thousand dollars per percent of volatility."""
MARKET: Final = Market(SYMBOL, tick=10_000, lot=100, strike_step=PRICE_UNIT)
PARAMETERS: Final = Parameters(CHAIN_ID, {1: MARKET}, signers_needed=2, step_roots=True, twap_seconds=60)
EXPIRY: Final = START + 30 * 86_400
FAR: Final = 2**64 - 1
"""An expiry that never comes."""
DOLLAR: Final = PRICE_UNIT
ONE: Final = QUANTITY_UNIT
"""A contract."""
CALL: Final = 1
PUT: Final = 2
"""Series of a market that was opened with one strike."""


@lru_cache(maxsize=256)
def key_of(name: str) -> str:
    """A user's private key."""
    return to_hex(keccak256(name.encode()))


@lru_cache(maxsize=256)
def address(name: str) -> bytes:
    """A user's address."""
    return address_of(key_of(name))


def call_data(name: str, *arguments: Any) -> bytes:
    """Calldata of a function of the interfaces."""
    call = BY_NAME[name]
    return call.selector + abi.encode(call.arguments, arguments)


def sign(digest: bytes, name: str) -> bytes:
    """A user's signature of a digest, as wallets write it."""
    signature = PrivateKey(from_hex(key_of(name), 32)).sign_recoverable(digest, hasher=None)
    return signature[:64] + bytes([signature[64] + 27])


def order(
    account: int,
    series: int,
    price: int,
    quantity: int,
    *,
    time_in_force: int = 0,
    self_trade: int = 0,
    reduce_only: bool = False,
    expiry: int = 0,
) -> tuple[Any, ...]:
    """An order; a quantity below zero sells."""
    return (
        account, series, quantity > 0, price, abs(quantity), time_in_force, self_trade, reduce_only, expiry, 0,
    )  # fmt: skip


class Desk:
    """A rollup of one market.

    Args:
        parameters: of the rollup.
        signers: names of the feed's signers.
    """

    def __init__(
        self, parameters: Parameters = PARAMETERS, signers: Sequence[str] = ("feed a", "feed b", "feed c")
    ) -> None:
        self.parameters = parameters
        self.signers = sorted(signers, key=address)
        self.world = create(parameters, [address(name) for name in signers], START)
        self.number, self.timestamp = 0, START
        self.sequence = 0
        self.history: list[BlockContent] = []
        self.deposited = 0
        """Wei that L1 minted here."""
        self._nonces: dict[str, int] = {}
        self._deposits = 0

    def block(self, *transactions: bytes, seconds: int = 1) -> Executed:
        """Execute the next block."""
        self.number, self.timestamp = self.number + 1, self.timestamp + seconds
        content = BlockContent(self.number, self.timestamp, 0, transactions)
        self.history.append(content)
        executed = execute(self.world, self.parameters, content)
        self._nonces.clear()
        return executed

    def send(
        self, name: str, function: str, *arguments: Any, value: int = 0, nonce: int | None = None
    ) -> bytes:
        """A user's signed transaction; nonces count up by themselves within a block."""
        if nonce is None:
            known = owner_of(self.world, address(name))
            nonce = self._nonces.get(name, known.nonce if known else 0)
            self._nonces[name] = nonce + 1
        return signed_call(name, function, arguments, nonce, value, self.parameters.chain_id)

    def act(
        self,
        sender: str,
        *actions: tuple[str, int, int, str, tuple[Any, ...]],
        bundle: bytes = NO_BUNDLE,
        expiry: int = FAR,
    ) -> bytes:
        """A transaction that carries actions: signer, account, nonce, function and arguments of each."""
        made, signatures = [], []
        for signer, account, nonce, function, arguments in actions:
            call = BY_NAME[function]
            action = (account, nonce, expiry, bundle, call.target, call_data(function, *arguments))
            made.append(action)
            signatures.append(sign(action_digest(self.parameters.chain_id, action), signer))
        if len(actions) == 1:
            return self.send(sender, "act", made[0], signatures[0])
        return self.send(sender, "actAll", tuple(made), tuple(signatures))

    def deposit(
        self,
        name: str,
        cash: int,
        *,
        to: bytes | None = None,
        value: int = 0,
        data: bytes = b"",
        wei: int = 0,
    ) -> bytes:
        """A deposit from L1: so many units of cash (and wei) for the sender."""
        self._deposits += 1
        mint = cash * WEI_PER_CASH + wei
        self.deposited += mint
        return encode_deposit(
            Deposit(
                keccak256(b"deposit %d" % self._deposits), address(name), to or address(name), mint, value,
                1_000_000, is_system=False, data=data,
            )
        )  # fmt: skip

    def update(
        self,
        spot: int,
        *,
        sender: str = "pusher",
        volatility: int = WAD * 7 // 10,
        signers: Sequence[str] | None = None,
        **changes: Any,
    ) -> bytes:
        """An update of the feed that quotes every series and the usual strikes."""
        self.sequence += 1
        update = self.quote(spot, volatility, **changes)
        digest = update_digest(self.parameters.chain_id, update)
        chosen = self.signers[: self.parameters.signers_needed] if signers is None else signers
        return self.send(sender, "update", update, tuple(sign(digest, name) for name in chosen))

    def quote(self, spot: int, volatility: int = WAD * 7 // 10, **changes: Any) -> tuple[Any, ...]:
        """What the feed would say in the next block."""
        places = {(one.expiry, one.strike) for one in self.world.series.values()}
        places |= {(EXPIRY, strike * PRICE_UNIT) for strike in range(2_000, 4_001, 100)}
        fields: dict[str, Any] = {
            "underlying": SYMBOL,
            "sequence": self.sequence,
            "timestamp": self.timestamp + 1,
            "spot": spot,
            "discount": WAD,
            "confidence": WAD,
            "forwards": tuple((expiry, spot) for expiry in sorted({expiry for expiry, _ in places})),
            "volatilities": tuple((*place, volatility) for place in sorted(places)),
        }
        return tuple((fields | changes).values())

    def signed_quote(
        self, maker: str, account: int, taker: int, nonce: int, legs: Sequence[tuple[int, int, int]]
    ) -> tuple[tuple[Any, ...], bytes]:
        """A maker's quote and its signature."""
        quote = (account, taker, nonce, FAR, tuple(legs))
        return quote, sign(quote_digest(self.parameters.chain_id, quote), maker)

    def bundle(self, *legs: bytes, name: bytes = b"\x0b" * 32, index: int = 0) -> list[bytes]:
        """Legs with the system transactions around them."""
        number = self.number + 1
        return [open_guard(number, index, name), *legs, close_guard(number, index + 1)]

    def account(self, name: str) -> int:
        """A user's primary account."""
        owner = owner_of(self.world, address(name))
        assert owner is not None
        return owner.accounts[0]

    def open_market(self, funds: Mapping[str, int], strikes: Sequence[int] = (3_000,)) -> list[int]:
        """Fund users (dollars), set the spot to 3,000, list calls and puts; returns the series, calls first at each strike."""
        self.block(*(self.deposit(name, dollars * PRICE_UNIT) for name, dollars in funds.items()))
        self.block(self.update(3_000 * PRICE_UNIT))
        first = self.world.globals.next_series
        self.block(
            *(
                self.send("lister", "listSeries", SYMBOL, EXPIRY, strike * PRICE_UNIT, is_call)
                for strike in strikes
                for is_call in (True, False)
            )
        )
        return list(range(first, self.world.globals.next_series))


@lru_cache(maxsize=65_536)
def signed_call(
    name: str, function: str, arguments: tuple[Any, ...], nonce: int, value: int, chain_id: int
) -> bytes:
    """A signed EIP-1559 transaction that calls a function of the interfaces."""
    call = BY_NAME[function]
    data = call_data(function, *arguments)
    return sign_transaction(
        UnsignedTransaction(chain_id, nonce, 0, 0, 2_000_000, call.target, data, value), key_of(name)
    )


def event_names(receipt: Receipt) -> list[str]:
    """What a transaction has logged."""
    topics = {event.topic: name for name, event in EVENTS.items()}
    return [topics[log.topics[0]] for log in receipt.logs]


def errors_of(executed: Executed) -> list[str]:
    """Name of each transaction's error, in the payload's order; empty where it succeeded."""
    return [result.reason.split("(")[0] for result in executed.results]
