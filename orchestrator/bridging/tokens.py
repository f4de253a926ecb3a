"""ERC-20 tokens between L1 and a rollup through the OP Stack's standard bridges.

::

    deposit:   (twin created on the rollup) ─► approve ─► L1StandardBridge locks ─► messengers ─► L2StandardBridge mints
    withdraw:  L2StandardBridge burns ─► messengers ─► L1StandardBridge pays        (a withdrawal like any other)

A token of L1 has a *twin* on each rollup, an ``OptimismMintableERC20`` that only the bridge mints and burns. The factory predeploy creates it
at an address that follows from the token, its name, its symbol and its decimals, so everybody who asks for the twin that is named like
the token means the same one; twins of other names can be given.
"""

import time
from dataclasses import dataclass
from typing import Any, Final

from bridge.contracts.addresses import L2_STANDARD_BRIDGE, PREDEPLOYS
from bridge.contracts.errors import AbiMismatch
from bridge.contracts.op import op_artifact
from bridge.relayer.messages.sightings import MESSENGER
from bridge.relayer.withdrawal import Withdrawal
from bridge.wire.keccak import from_hex, keccak256, to_hex
from orchestrator.bridging.following import Deposited, Tell, Withdrawn, follow, follow_deposit
from orchestrator.bridging.reading import only_passed
from orchestrator.bridging.sending import BridgingFailed, alone, receipt_of, submit
from orchestrator.bridging.terms import Currency, InvalidTransfer
from orchestrator.bridging.transfers import CALL_GAS
from orchestrator.chains import ChainHandle, Refused
from orchestrator.devnet import Devnet
from orchestrator.settlement.deployments import deployments
from orchestrator.topology.hd_keys import checksum_address
from orchestrator.topology.plan import Account

FACTORY: Final = PREDEPLOYS["OptimismMintableERC20Factory"]
BRIDGE: Final = op_artifact("L1StandardBridge").interface
"""``bridgeERC20To`` and ``finalizeBridgeERC20`` are the same at both ends."""
MINTABLE: Final = op_artifact("OptimismMintableERC20")
LONGEST_SYMBOL: Final = 20
"""Characters of a symbol that is shown."""
_MINTER: Final = op_artifact("OptimismMintableERC20Factory").interface


@dataclass(frozen=True, slots=True)
class Token:
    """An ERC-20 of L1 and its twin on a rollup."""

    address: str
    """On L1; EIP-55 spelling, as the twin's."""
    twin: str
    """On the rollup."""
    name: str
    symbol: str
    """Such as ``USDC``; whatever the token says."""
    currency: Currency


@dataclass(frozen=True, slots=True)
class Bridged:
    """What a withdrawal moves for the standard bridge."""

    token: str
    """On L1."""
    twin: str
    """On the rollup."""
    sender: str
    to: str
    units: int


def standard_twin(token: str, name: str, symbol: str, decimals: int) -> str:
    """Where the factory predeploy creates the twin of a token: CREATE2 (EIP-1014). Pure."""
    described = MINTABLE.interface.encode_constructor(L2_STANDARD_BRIDGE, token, name, symbol, decimals)
    # The factory's salt is abi.encode(token, name, symbol, decimals): what it is asked for, without the function.
    salt = _MINTER.encode_call("createOptimismMintableERC20WithDecimals", token, name, symbol, decimals)[4:]
    code = keccak256(MINTABLE.creation_code + described)
    return checksum_address(keccak256(b"\xff" + from_hex(FACTORY, 20) + keccak256(salt) + code)[12:])


def bridged(withdrawal: Withdrawal) -> Bridged | None:
    """The tokens that a withdrawal moves; None if it moves none. Pure."""
    try:
        _, sender, _, _, _, message = MESSENGER.decode_arguments("relayMessage", withdrawal.data)
        if sender.lower() != L2_STANDARD_BRIDGE:
            return None
        token, twin, sender, to, units, _ = BRIDGE.decode_arguments("finalizeBridgeERC20", message)
    except AbiMismatch:
        return None
    token, twin, sender, to = (checksum_address(from_hex(each, 20)) for each in (token, twin, sender, to))
    return Bridged(token, twin, sender, to, units)


async def token_of(net: Devnet, rollup: ChainHandle, address: str, twin: str | None = None) -> Token:
    """A token by its address on L1.

    Args:
        net: the devnet.
        rollup: where its twin is, or will be.
        address: EIP-55 spelling.
        twin: on the rollup; by default the one that the factory names like the token.

    Raises:
        InvalidTransfer: there is no such token, the twin is another token's, or the rollup has no tokens.
        RollnetError: a chain doesn't answer.
    """
    if any(one.name == rollup.name and one.options is not None for one in net.plan.rollups):
        raise InvalidTransfer(
            f"{rollup.name} is an options rollup, which holds dollars and no tokens",
            "leave --token out, or name an EVM rollup",
        )
    if await net.l1.rpc("eth_getCode", address, "latest") == "0x":
        raise InvalidTransfer(
            f"there is no contract at {address} on {net.l1.name}", "give the token's address on L1"
        )
    try:
        decimals = await _read(net.l1, address, "decimals")
        symbol, name = await _read(net.l1, address, "symbol"), await _read(net.l1, address, "name")
    except (AbiMismatch, Refused) as exc:
        raise InvalidTransfer(
            f"{address} on {net.l1.name} is no ERC-20 with name, symbol and decimals: {exc}",
            "give the token's address on L1",
        ) from exc
    place = twin or standard_twin(address, name, symbol, decimals)
    if twin is not None:
        await _require_twin(rollup, address, twin)
    shown = symbol if symbol.isprintable() and 0 < len(symbol) <= LONGEST_SYMBOL else "tokens"
    return Token(address, place, name, symbol, Currency(shown, decimals))


async def deposit_token(
    net: Devnet,
    rollup: ChainHandle,
    account: Account,
    token: Token,
    to: str,
    units: int,
    tell: Tell,
    *,
    wait: bool,
) -> Deposited:
    """Deposit tokens, with their twin created and the bridge approved if need be, and follow them until they are minted.

    Raises:
        BridgingFailed: nothing was deposited, or it isn't known.
        RollnetError: a node doesn't answer or refuses, before anything was deposited.
    """
    bridge = deployments(net.plan).rollups[rollup.name].standard_bridge
    _require_somebody(to, token)
    await _require_balance(net.l1, account, token.address, token.currency, units)
    async with alone(net):
        await _ensure_twin(rollup, account, token, tell)
        allowed = await _read(net.l1, token.address, "allowance", account.address, bridge)
        # Some tokens refuse to change an allowance that isn't zero.
        for allowance in () if allowed >= units else (0, units) if allowed else (units,):
            data = MINTABLE.interface.encode_call("approve", bridge, allowance)
            await submit(net.l1, account, token.address, data, 0, interface=MINTABLE.interface)
        data = BRIDGE.encode_call("bridgeERC20To", token.address, token.twin, to, units, CALL_GAS, b"")
        sent = await submit(net.l1, account, bridge, data, 0, interface=BRIDGE)
    tell(f"sent to L1: {sent.hash}")
    kept = f"the messenger on {rollup.name} holds the message, for anybody to replay; nothing was minted"
    started = sent.at_ns / 1e9
    return await follow_deposit(net, rollup, sent.hash, kept, tell, started=started, wait=wait)


async def withdraw_token(
    net: Devnet,
    rollup: ChainHandle,
    account: Account,
    token: Token,
    to: str,
    units: int,
    tell: Tell,
    *,
    wait: bool,
) -> Withdrawn:
    """Withdraw tokens and follow them until L1 has paid; raises as :func:`deposit_token`."""
    _require_somebody(to, token)
    if await rollup.rpc("eth_getCode", token.twin, "latest") == "0x":
        raise BridgingFailed(
            f"{rollup.name} has no {token.currency.symbol}: nobody deposited any",
            f"rollnet deposit {rollup.name} … --token",
        )
    await _require_balance(rollup, account, token.twin, token.currency, units)
    started = time.monotonic()
    data = BRIDGE.encode_call("bridgeERC20To", token.twin, token.address, to, units, CALL_GAS, b"")
    async with alone(net):
        sent = await submit(rollup, account, L2_STANDARD_BRIDGE, data, 0, interface=BRIDGE)
    found = only_passed(await receipt_of(rollup, sent.hash))
    tell(f"sent in {rollup.name} block {found.block}: withdrawal {found.withdrawal.hash}")
    return await follow(net, rollup, found, tell, started=started, wait=wait)


async def _ensure_twin(rollup: ChainHandle, account: Account, token: Token, tell: Tell) -> None:
    if await rollup.rpc("eth_getCode", token.twin, "latest") != "0x":
        return
    asked = (token.address, token.name, token.symbol, token.currency.decimals)
    data = _MINTER.encode_call("createOptimismMintableERC20WithDecimals", *asked)
    made = await submit(rollup, account, FACTORY, data, 0, interface=_MINTER)
    await receipt_of(rollup, made.hash)
    if await rollup.rpc("eth_getCode", token.twin, "latest") == "0x":
        raise BridgingFailed(
            f"{rollup.name}'s factory created {token.currency.symbol} somewhere else than at {token.twin}",
            "look at the receipt of " + made.hash,
        )
    tell(f"{token.currency.symbol} is {token.twin} on {rollup.name}, created just now")


async def _require_twin(rollup: ChainHandle, token: str, twin: str) -> None:
    """Hold that a twin is the token's: the bridge would lock tokens for good for one that isn't."""
    words = f"{twin} on {rollup.name} is no OptimismMintableERC20 of {token}"
    try:
        belongs = await _read(rollup, twin, "remoteToken"), await _read(rollup, twin, "bridge")
    except (AbiMismatch, Refused) as exc:
        raise InvalidTransfer(words, "leave --rollup-token out: the factory creates the right one") from exc
    if [each.lower() for each in belongs] != [token.lower(), L2_STANDARD_BRIDGE]:
        raise InvalidTransfer(
            f"{words}: it belongs to {belongs[0]} and the bridge {belongs[1]}",
            "leave --rollup-token out: the factory creates the right one",
        )


def _require_somebody(to: str, token: Token) -> None:
    """Hold that the other end can pay out: the tokens would be gone here, and never come there."""
    if int(to, 16) == 0:
        raise InvalidTransfer(f"{token.currency.symbol} can't be paid to nobody's address, {to}", "mend --to")


async def _require_balance(
    chain: ChainHandle, account: Account, token: str, currency: Currency, units: int
) -> None:
    balance = await _read(chain, token, "balanceOf", account.address)
    if balance < units:
        raise BridgingFailed(
            f"{account.name} ({account.address}) has {currency.shown(balance)} {currency.symbol} on {chain.name}, "
            f"and this takes {currency.shown(units)}",
            "a smaller amount, or another --account",
        )


async def _read(chain: ChainHandle, token: str, function: str, *arguments: Any) -> Any:
    """The result of a view function, in the state that the next block begins with."""
    call = {"to": token, "data": to_hex(MINTABLE.interface.encode_call(function, *arguments))}
    answer = await chain.rpc("eth_call", call, "pending")
    (found,) = MINTABLE.interface.decode_result(function, from_hex(answer))
    return found
