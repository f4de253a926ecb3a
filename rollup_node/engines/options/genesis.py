"""The file that an options rollup begins with: its parameters, markets, feed and first cash. The same file, the same chain.

::

    {"chainId": 901, "timestamp": 1800000000, "baseFee": 0,
     "parameters": {"gas_free": true, ...},                  fields of Parameters
     "markets": {"1": {"symbol": "ETH", "tick": 10000, ...}},  fields of Market
     "signers": ["0x...", ...],                              of the feed
     "cash": {"0x...": 1000000},                             micro-USD of addresses; L1's portal must hold as much
     "peers": {"902": "0x..."},                              portals on L1 of the set's other options rollups, by chain id
     "l1": {"messenger": "0x...", "router": "0x...", "registry": "0x..."}}   L1CrossDomainMessenger, MessageRouter, StrategyRegistry

The header's ``extraData`` is the hash of all of it, so a node with another file has another chain from block 0 on.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

import orjson

from bridge.wire.errors import Malformed
from bridge.wire.keccak import from_hex, keccak256
from rollup_node.engines.options.blocks import Head
from rollup_node.engines.options.headers import genesis_header
from rollup_node.engines.options.state.leaves import MOST_POSITIONS
from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transition.accounts import credit_wei
from rollup_node.engines.options.transition.context import WEI_PER_CASH, Context
from rollup_node.engines.options.transition.genesis import create
from rollup_node.engines.options.transition.margins import Risks
from rollup_node.engines.options.transition.parameters import L1Ends, Market, Parameters

_KNOWN: Final = {"chainId", "timestamp", "baseFee", "parameters", "markets", "signers", "cash", "peers", "l1"}
_OWN: Final = {"chain_id", "markets", "symbol", "peers", "l1"}
"""Fields that the file says elsewhere."""


class GenesisWrong(ValueError):  # noqa: N818 - says what it is
    """The file isn't one; its message names all that is wrong with it."""


@dataclass(frozen=True, slots=True)
class Genesis:
    """A rollup before its first block."""

    parameters: Parameters
    signers: tuple[bytes, ...]
    timestamp: int
    """Unix seconds."""
    base_fee: int
    """Wei per gas."""
    cash: Mapping[bytes, int]
    """Micro-USD by address."""
    digest: bytes
    """Of the file's content, however it is laid out."""

    def world(self) -> World:
        """The state, made anew."""
        world = create(self.parameters, self.signers, self.timestamp)
        context = Context(self.parameters, 0, self.timestamp, Risks(world))
        for address, cash in sorted(self.cash.items()):
            credit_wei(world, context, address, cash * WEI_PER_CASH)
        return world

    def head(self, world: World) -> Head:
        """Block 0, of the state that :meth:`world` made."""
        return Head(genesis_header(self.parameters, world.root(), self.timestamp, self.digest, self.base_fee))


def read_genesis(data: bytes) -> Genesis:
    """A genesis from a file's bytes.

    Raises:
        GenesisWrong: with everything that is wrong with it.
    """
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as exc:
        raise GenesisWrong(f"not JSON: {exc}") from exc
    if not isinstance(document, dict):
        raise GenesisWrong("not a JSON object")
    reader = _Reader()
    reader.unknown("the genesis", document, _KNOWN)
    chain_id, timestamp, base_fee = (
        reader.number(name, document.get(name, default))
        for name, default in (("chainId", None), ("timestamp", None), ("baseFee", 10**9))
    )
    markets = {
        reader.number("markets", number): reader.market(f"markets.{number}", said)
        for number, said in reader.table("markets", document.get("markets", {})).items()
    }
    said = reader.settings("parameters", document.get("parameters", {}), Parameters)
    signers = tuple(
        reader.address("signers", text) for text in reader.list("signers", document.get("signers", []))
    )
    cash = {
        reader.address("cash", text): reader.number(f"cash.{text}", amount)
        for text, amount in reader.table("cash", document.get("cash", {})).items()
    }
    peers = {
        reader.number("peers", chain): reader.address(f"peers.{chain}", portal)
        for chain, portal in reader.table("peers", document.get("peers", {})).items()
    }
    places = reader.table("l1", document.get("l1", {}))
    reader.unknown("l1", places, {one.name for one in fields(L1Ends)})
    ends = {name: reader.address(f"l1.{name}", text) for name, text in places.items()}
    if not markets:
        reader.problems.append("markets: there is none; name at least one underlying")
    if len(set(signers)) != len(signers) or len(signers) < said.get("signers_needed", 1):
        reader.problems.append("signers: fewer than parameters.signers_needed, or one is there twice")
    if said.get("max_positions", 0) > MOST_POSITIONS:
        reader.problems.append(
            f"parameters.max_positions: {said['max_positions']}, and an account has room for {MOST_POSITIONS}"
        )
    if reader.problems:
        raise GenesisWrong("; ".join(reader.problems))
    canonical = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    parameters = Parameters(chain_id=chain_id, markets=markets, peers=peers, l1=L1Ends(**ends), **said)
    return Genesis(parameters, signers, timestamp, base_fee, cash, keccak256(canonical))


class _Reader:
    """Reads values, and notes what is wrong with them."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def unknown(self, where: str, said: Mapping[str, Any], known: set[str]) -> None:
        """Note fields that nobody reads."""
        self.problems += [f"{where}: unknown field {name!r}" for name in sorted(set(said) - known)]

    def number(self, where: str, value: Any) -> int:
        """An integer that isn't negative, as a number or as decimal text."""
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 127:
            self.problems.append(f"{where}: expected a number from 0 up, got {value!r}")
            return 0
        return value

    def table(self, where: str, value: Any) -> Mapping[str, Any]:
        """An object."""
        if isinstance(value, dict):
            return value
        self.problems.append(f"{where}: expected an object, got {value!r}")
        return {}

    def list(self, where: str, value: Any) -> list[Any]:
        """An array."""
        if isinstance(value, list):
            return value
        self.problems.append(f"{where}: expected an array, got {value!r}")
        return []

    def address(self, where: str, value: Any) -> bytes:
        """Twenty bytes."""
        try:
            return from_hex(value, 20)
        except Malformed as exc:
            self.problems.append(f"{where}: {exc}")
            return bytes(20)

    def settings(self, where: str, value: Any, kind: type[Parameters | Market]) -> dict[str, Any]:
        """Fields of a dataclass of numbers and truth values, those that are said."""
        said = self.table(where, value)
        known = {one.name: one.type for one in fields(kind) if one.name not in _OWN}
        self.unknown(where, said, set(known))
        found: dict[str, Any] = {}
        for name in sorted(said.keys() & known.keys()):
            if known[name] in (bool, "bool"):
                if not isinstance(said[name], bool):
                    self.problems.append(f"{where}.{name}: expected true or false, got {said[name]!r}")
                found[name] = said[name]
            else:
                found[name] = self.number(f"{where}.{name}", said[name])
        return found

    def market(self, where: str, value: Any) -> Market:
        """An underlying."""
        said = dict(self.table(where, value))
        symbol = said.pop("symbol", None)
        if not isinstance(symbol, str) or not symbol.isascii() or not 0 < len(symbol) <= 32:
            self.problems.append(f"{where}.symbol: expected 1 to 32 ASCII letters, got {symbol!r}")
            symbol = "?"
        return Market(symbol.encode().ljust(32, b"\0"), **self.settings(where, said, Market))
