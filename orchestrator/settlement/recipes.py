"""Recipes: what runs once on a scratch anvil so that a genesis can hold the contracts it leaves, and the cache of the results.

The state must be what the contracts' own constructors and set-up calls leave, so they are run. A constructor can be run *at a
given address* (its creation code is placed there and called; what it returns becomes the code, what it stored stays), or as
an ordinary creation, whose address follows from the sender's nonce. Rejected: computing storage slots by hand (breaks
silently with any change of a contract), and sending the set-up to every devnet (seconds at each start, and blocks that
nobody asked for).

A recipe's steps run in one block: block 1 when it has no placements. The portal's resource metering remembers the block in
which it was initialised and refuses blocks before that one, so on L1 it may not be a later one.

Equal recipes give equal bytes on every machine: all times are fixed and the scratch chain's identity leaves no trace.
"""

import contextlib
import gzip
import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import orjson

from bridge.contracts.errors import ContractsError
from bridge.wire.errors import RpcError
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex
from orchestrator.market.errors import GenesisError
from orchestrator.market.scratch import scratch_anvil
from orchestrator.settlement.geth_genesis import GENESIS_TIME, Alloc

_FORMAT = 2
"""Part of the cache key; raised when this module builds something else from the same recipe."""
_STEP_GAS = 10_000_000
_BLOCK_GAS = 100_000_000_000
"""Gas per scratch block: any recipe fits in one."""
_SENDER_BALANCE = 10**30
"""Wei; of scratch senders only, nothing of it is kept."""


@dataclass(frozen=True, slots=True)
class Placement:
    """A constructor to run at a chosen address."""

    address: str
    code: bytes
    """Creation code with arguments."""
    sender: str
    """Whom the constructor sees as its caller."""


@dataclass(frozen=True, slots=True)
class Step:
    """A transaction to send once all placements are there."""

    sender: str
    to: str | None
    """Whom to call; ``None`` creates a contract."""
    data: bytes


@dataclass(frozen=True, slots=True)
class Recipe:
    """Placements, then steps in order; the accounts of ``keep`` are the result."""

    placements: tuple[Placement, ...]
    steps: tuple[Step, ...]
    keep: tuple[str, ...]
    """Lower-case addresses; each must be a contract in the end."""

    def __add__(self, other: "Recipe") -> "Recipe":
        return Recipe(self.placements + other.placements, self.steps + other.steps, self.keep + other.keep)

    @property
    def key(self) -> str:
        """Hash of all that goes in."""
        digest = hashlib.sha256(f"{_FORMAT}/{GENESIS_TIME}".encode())
        for part in (*map(astuple, self.placements), *map(astuple, self.steps), self.keep):
            for field in part:
                raw = field if isinstance(field, bytes) else repr(field).encode()
                digest.update(len(raw).to_bytes(8, "big") + raw)
            digest.update(b"\n")
        return digest.hexdigest()


EMPTY = Recipe((), (), ())


@contextlib.contextmanager
def contracts_at_hand() -> Iterator[None]:
    """Turn what goes wrong with compiled contracts into an error of this tool's.

    Raises:
        GenesisError: a contract is not installed, or not the one that the recipe is for.
    """
    try:
        yield
    except ContractsError as exc:
        raise GenesisError(str(exc), "run 'make setup'") from exc


async def build(recipe: Recipe, cache: Path) -> Alloc:
    """The accounts that a recipe leaves; it runs at most once per content, then they are read.

    Args:
        recipe: what to run.
        cache: folder for built states; created when missing, safe to share and to delete.

    Raises:
        GenesisError: anvil is missing or a step fails.
    """
    if not recipe.keep:
        return {}
    entry = cache / f"genesis-{recipe.key}.json"
    state = _read_entry(entry)
    if state is None:
        body = orjson.dumps(await _run(recipe), option=orjson.OPT_SORT_KEYS)
        _write_entry(entry, body)
        state = orjson.loads(body)
    return state


async def _run(recipe: Recipe) -> Alloc:
    async with scratch_anvil(
        *("--no-mining", "--order", "fifo", "--timestamp", str(GENESIS_TIME - 10)),
        *("--hardfork", "prague", "--gas-limit", str(_BLOCK_GAS)),
    ) as engine:
        await _fund(engine, recipe)
        await _place(engine, recipe.placements)
        await _send(engine, recipe.steps, GENESIS_TIME)
        dump = orjson.loads(gzip.decompress(from_hex(await engine.call("anvil_dumpState"))))
    left = {address.lower(): account for address, account in dump["accounts"].items()}
    return {address: _account(address, left) for address in recipe.keep}


async def _fund(engine: Client, recipe: Recipe) -> None:
    senders = {part.sender for part in recipe.placements} | {step.sender for step in recipe.steps}
    await _all(engine, (("anvil_setBalance", [who, hex(_SENDER_BALANCE)]) for who in sorted(senders)))


async def _place(engine: Client, placements: Sequence[Placement]) -> None:
    if not placements:
        return
    await _all(engine, (("anvil_setCode", [part.address, _hex(part.code)]) for part in placements))
    constructors = [Step(part.sender, part.address, b"") for part in placements]
    runtime = await _all(engine, (("eth_call", [_call(step), "latest"]) for step in constructors))
    await _send(engine, constructors, GENESIS_TIME - 1)
    codes = zip(placements, runtime, strict=True)
    await _all(engine, (("anvil_setCode", [part.address, code]) for part, code in codes))


async def _send(engine: Client, steps: Sequence[Step], time: int) -> None:
    """Mine steps in one block at a given time, and hold that every one succeeded."""
    hashes = await _all(engine, (("eth_sendTransaction", [_call(step)]) for step in steps))
    await _all(engine, [("evm_setNextBlockTimestamp", [time]), ("evm_mine", [])])
    receipts = await _all(engine, (("eth_getTransactionReceipt", [digest]) for digest in hashes))
    for step, receipt in zip(steps, receipts, strict=True):
        if receipt is None or receipt["status"] != "0x1":
            what = "creating a contract" if step.to is None else f"a set-up call to {step.to}"
            raise GenesisError(
                f"{what} failed on the scratch engine: {_hex(step.data)[:74]}…",
                "the contracts and the recipe disagree; run 'make contracts setup'",
            )


async def _all(engine: Client, calls: Iterable[tuple[str, list[Any]]]) -> list[Any]:
    listed = list(calls)
    answers = await engine.batch(listed)
    for (method, _), answer in zip(listed, answers, strict=True):
        if isinstance(answer, RpcError):
            raise GenesisError(
                f"the scratch engine refused {method}: {answer.message}", "run 'make setup'"
            ) from answer
    return answers


def _call(step: Step) -> dict[str, str]:
    to = {} if step.to is None else {"to": step.to}
    return {"from": step.sender, **to, "data": _hex(step.data), "gas": hex(_STEP_GAS)}


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def _account(address: str, left: Alloc) -> dict[str, Any]:
    account = left.get(address, {})
    if account.get("code", "0x") == "0x":
        raise GenesisError(
            f"the recipe left no contract at {address}",
            "the addresses of orchestrator/settlement and its recipes disagree",
        )
    storage = {slot: word for slot, word in sorted(account["storage"].items()) if int(word, 16)}
    return {"balance": "0x0", "nonce": "0x1", "code": account["code"], "storage": storage}


def _read_entry(path: Path) -> Alloc | None:
    """A cached state, or None when there is none or it isn't what was written."""
    try:
        digest, _, body = path.read_bytes().partition(b"\n")
    except OSError:
        return None
    if hashlib.sha256(body).hexdigest().encode() != digest:
        return None
    state: Alloc = orjson.loads(body)
    return state


def _write_entry(path: Path, body: bytes) -> None:
    """Write beside and rename, so that readers and concurrent builders only ever meet whole entries."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
