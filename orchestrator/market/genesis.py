"""Builds the genesis of EVM rollups: the bundle guard, the options market, and funded accounts.

The state must be what the contracts' own constructors and set-up calls leave, so they are run: once, on a scratch
anvil, each constructor *at its predeploy address* (its creation code is placed there and called; what it returns
becomes the code, what it stored stays). The accounts are read back into an ``alloc``, which holds nothing of one
rollup and so serves all of a plan. Rejected: computing storage slots by hand (breaks silently with any change of a
contract), and sending the set-up as transactions to every rollup (seconds at each start, and blocks that nobody asked for).

Equal plans give equal bytes on every machine: all times are fixed and the scratch chain's identity leaves no trace.
The alloc is cached under a hash of everything that went in.
"""

import gzip
import hashlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from bridge.contracts.addresses import BUNDLE_GUARD, CASH_TOKEN, OPTIONS_MARKET, PRICE_ORACLE
from bridge.contracts.artifacts import artifact
from bridge.wire.errors import RpcError
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex, to_hex
from orchestrator.market.errors import GenesisError
from orchestrator.market.scratch import scratch_anvil
from orchestrator.market.units import PRICE_SCALE, price_units, symbol_bytes
from orchestrator.topology.plan import Account, MarketPlan, Plan, RollupPlan

GENESIS_TIME = 1_767_225_600
"""Timestamp of block 0, unix seconds (2026-01-01T00:00:00Z): before any devnet's first block."""
GENESIS_BASE_FEE = 1_000_000_000
"""Wei per gas."""
ACCOUNT_BALANCE = 10_000 * 10**18
"""Wei for every user and role."""
USER_CASH = 10_000_000 * PRICE_SCALE
"""Free cash of every user in the market, 1e-6 USD."""
USER_WALLET_CASH = 100_000 * PRICE_SCALE
"""Cash tokens in every user's own hands, 1e-6 USD: for trying out deposits."""
MAKER_CASH = 10_000_000_000 * PRICE_SCALE
"""Free cash of the maker in the market, 1e-6 USD: collateral for whatever load takes its quotes."""

_FORMAT = 1
"""Part of the cache key; raised when this module builds something else from the same plan."""
_SETUP_GAS = 10_000_000
_BLOCK_GAS = 1_000_000_000
"""Gas per scratch block: the whole set-up fits in one."""

Alloc = dict[str, dict[str, Any]]
"""Genesis accounts by lower-case address, as geth's genesis format spells them."""


async def build_genesis(plan: Plan, rollup: RollupPlan, cache: Path) -> dict[str, Any]:
    """The genesis of one rollup, for ``anvil --init``.

    Args:
        plan: the devnet; its market (if any), users and roles go in.
        rollup: whose chain id and gas limit to use.
        cache: folder for built states; created when missing, safe to share and to delete.

    Raises:
        GenesisError: anvil is missing or a set-up call fails.
    """
    return genesis_of(rollup, await build_alloc(plan, cache))


async def build_alloc(plan: Plan, cache: Path) -> Alloc:
    """The accounts that all EVM rollups of a plan start with; built at most once per content, then read.

    Raises:
        GenesisError: anvil is missing or a set-up call fails.
    """
    alloc = _funded(plan)
    if plan.market is None:
        return dict(sorted(alloc.items()))
    setup = _setup(plan, plan.market)
    entry = cache / f"genesis-{setup.key}.json"
    state = _read_entry(entry)
    if state is None:
        body = orjson.dumps(await _run_setup(setup), option=orjson.OPT_SORT_KEYS)
        _write_entry(entry, body)
        state = orjson.loads(body)
    return dict(sorted((alloc | state).items()))


def genesis_of(rollup: RollupPlan, alloc: Alloc) -> dict[str, Any]:
    """A genesis in geth's format around an alloc. Pure."""
    blocks = (
        "homestead",
        "eip150",
        "eip155",
        "eip158",
        "byzantium",
        "constantinople",
        "petersburg",
        "istanbul",
    )
    later = {f"{fork}Block": 0 for fork in (*blocks, "berlin", "london")}
    times = {f"{fork}Time": 0 for fork in ("shanghai", "cancun", "prague")}
    return {
        "config": {"chainId": rollup.chain_id, **later, **times, "terminalTotalDifficulty": 0},
        "nonce": "0x0",
        "timestamp": hex(GENESIS_TIME),
        "extraData": "0x",
        "gasLimit": hex(rollup.block_gas_limit),
        "difficulty": "0x0",
        "mixHash": "0x" + "00" * 32,
        "coinbase": "0x" + "00" * 20,
        "baseFeePerGas": hex(GENESIS_BASE_FEE),
        "alloc": alloc,
    }


def genesis_bytes(genesis: dict[str, Any]) -> bytes:
    """The file to hand to the engine; equal plans give equal bytes."""
    return orjson.dumps(genesis, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


@dataclass(frozen=True, slots=True)
class _Setup:
    """What runs on the scratch engine; its key hashes all of it."""

    key: str
    deployments: tuple[tuple[str, str], ...]
    """(predeploy address, creation code with arguments), in order."""
    calls: tuple[tuple[str, str], ...]
    """(contract, call data) sent by the deployer, in order."""
    deployer: str


def _setup(plan: Plan, market: MarketPlan) -> _Setup:
    deployer, maker = _role(plan, "deployer").address, _role(plan, "maker").address
    cash, oracle, options = artifact("CashToken"), artifact("PriceOracle"), artifact("OptionsMarket")
    cap = price_units(market.price_cap)
    deployments = (
        (CASH_TOKEN, to_hex(cash.deployment(deployer))),
        (PRICE_ORACLE, to_hex(oracle.deployment(deployer, maker))),
        (OPTIONS_MARKET, to_hex(options.deployment(CASH_TOKEN, PRICE_ORACLE, BUNDLE_GUARD, cap))),
    )
    deposits = [(maker, MAKER_CASH), *((user.address, USER_CASH) for user in plan.users)]
    total = sum(amount for _, amount in deposits)
    token, venue = cash.interface.encode_call, options.interface.encode_call
    spot = oracle.interface.encode_call("postSpot", symbol_bytes(market.underlying), price_units(market.spot))
    calls = [
        (CASH_TOKEN, token("mint", deployer, total)),
        (CASH_TOKEN, token("approve", OPTIONS_MARKET, total)),
        *((OPTIONS_MARKET, venue("depositFor", account, amount)) for account, amount in deposits),
        *((CASH_TOKEN, token("mint", user.address, USER_WALLET_CASH)) for user in plan.users),
        (PRICE_ORACLE, spot),
    ]
    hexed = tuple((to, to_hex(data)) for to, data in calls)
    content = orjson.dumps([_FORMAT, GENESIS_TIME, deployments, hexed, deployer])
    return _Setup(hashlib.sha256(content).hexdigest(), deployments, hexed, deployer)


async def _run_setup(setup: _Setup) -> Alloc:
    async with scratch_anvil(
        *("--no-mining", "--order", "fifo", "--timestamp", str(GENESIS_TIME - 10)),
        *("--hardfork", "prague", "--gas-limit", str(_BLOCK_GAS)),
    ) as engine:
        await _all(engine, [("anvil_setBalance", [setup.deployer, hex(10**24)])])
        await _all(engine, [("anvil_setCode", [address, code]) for address, code in setup.deployments])
        runtime = await _all(
            engine,
            [("eth_call", [_call(setup.deployer, address), "latest"]) for address, _ in setup.deployments],
        )
        await _send(
            engine, setup.deployer, [(address, "0x") for address, _ in setup.deployments], GENESIS_TIME - 1
        )
        codes = zip(setup.deployments, runtime, strict=True)
        await _all(engine, [("anvil_setCode", [address, code]) for (address, _), code in codes])
        await _send(engine, setup.deployer, setup.calls, GENESIS_TIME)
        dump = orjson.loads(gzip.decompress(from_hex(await engine.call("anvil_dumpState"))))
    accounts = {address.lower(): account for address, account in dump["accounts"].items()}
    return {address: _account(accounts[address.lower()]) for address, _ in setup.deployments}


async def _send(engine: Client, sender: str, calls: Sequence[tuple[str, str]], time: int) -> None:
    """Mine calls in one block at a given time, and hold that every one succeeded."""
    hashes = await _all(engine, [("eth_sendTransaction", [_call(sender, to, data)]) for to, data in calls])
    await _all(engine, [("evm_setNextBlockTimestamp", [time]), ("evm_mine", [])])
    receipts = await _all(engine, [("eth_getTransactionReceipt", [digest]) for digest in hashes])
    for (to, data), receipt in zip(calls, receipts, strict=True):
        if receipt is None or receipt["status"] != "0x1":
            raise GenesisError(
                f"a set-up call to {to} failed on the scratch engine: {data[:74]}…",
                "the contracts and orchestrator/market/genesis.py disagree; compile the contracts again",
            )


async def _all(engine: Client, calls: list[tuple[str, list[Any]]]) -> list[Any]:
    answers = await engine.batch(calls)
    for (method, _), answer in zip(calls, answers, strict=True):
        if isinstance(answer, RpcError):
            raise GenesisError(
                f"the scratch engine refused {method}: {answer.message}", "run npm ci"
            ) from answer
    return answers


def _call(sender: str, to: str, data: str = "0x") -> dict[str, str]:
    return {"from": sender, "to": to, "data": data, "gas": hex(_SETUP_GAS)}


def _account(account: dict[str, Any]) -> dict[str, Any]:
    storage = {slot: word for slot, word in sorted(account["storage"].items()) if int(word, 16)}
    return {"balance": "0x0", "nonce": "0x1", "code": account["code"], "storage": storage}


def _funded(plan: Plan) -> Alloc:
    guard = {
        "balance": "0x0",
        "nonce": "0x1",
        "code": to_hex(artifact("BundleGuard").runtime_code),
        "storage": {},
    }
    people: tuple[Account, ...] = (*plan.users, *plan.roles)
    return {BUNDLE_GUARD: guard} | {
        person.address.lower(): {"balance": hex(ACCOUNT_BALANCE)} for person in people
    }


def _role(plan: Plan, name: str) -> Account:
    for role in plan.roles:
        if role.name == name:
            return role
    raise GenesisError(f"the plan of {plan.name} has a market but no role {name}", "plan the topology again")


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
