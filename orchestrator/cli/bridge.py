"""``deposit`` and ``withdraw``: a rollup's coin and tokens between L1 and it, followed to their end."""

import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.markup import escape

from bridge.relayer.withdrawal import Passed
from orchestrator.bridging.following import Deposited, Withdrawn, follow
from orchestrator.bridging.reading import find_withdrawal
from orchestrator.bridging.sending import BridgingFailed
from orchestrator.bridging.terms import (
    ETHER,
    Currency,
    InvalidTransfer,
    account_of,
    coin_of,
    ether,
    parse_address,
    parse_digest,
    roughly,
    withdrawal_terms,
)
from orchestrator.bridging.tokens import Token, bridged, deposit_token, token_of, withdraw_token
from orchestrator.bridging.transfers import deposit, withdraw
from orchestrator.chains import ChainHandle
from orchestrator.cli.output import JsonOption, NetOption, command, command_group, err, out, run, say_json
from orchestrator.devnet import Devnet
from orchestrator.errors import RollnetError
from orchestrator.registry import find_devnet

DEPOSIT_CODES = {"executed": 0, "failed": 1, "unknown": 2}
WITHDRAWAL_CODES = {"finalized": 0, "failed": 1, "unfinished": 2}
NEGATIVE = {"ignore_unknown_options": True}
"""So that -1 is an amount that is refused with words, not an option that nobody knows."""

app = command_group()


@dataclass(frozen=True, slots=True)
class _Asked:
    """A transfer as it was typed."""

    rollup: str | None
    amount: str | None
    to: str | None
    token: str | None
    rollup_token: str | None


RollupArgument = Annotated[str, typer.Argument(help="A rollup's name.")]
AmountArgument = Annotated[
    str, typer.Argument(metavar="AMOUNT", help="ETH, such as 1.5; dollars of an options rollup; or tokens.")
]
AccountOption = Annotated[int, typer.Option(help="Index of the funded account that signs.")]
ToOption = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Recipient; the account's own address by default.")
]
TokenOption = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="An ERC-20, by its address on L1, instead of the coin.")
]
TwinOption = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="What the token is on the rollup; by default the OptimismMintableERC20 named like it, created if need be.",
    ),
]


@app.command("deposit", context_settings=NEGATIVE)
def deposit_command(
    rollup: RollupArgument,
    amount: AmountArgument,
    account: AccountOption = 0,
    to: ToOption = None,
    token: TokenOption = None,
    rollup_token: TwinOption = None,
    net: NetOption = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until the rollup has executed it.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Deposit from L1 into a rollup, ETH through its OptimismPortal or tokens through the standard bridge, and wait until the rollup
    has executed it.

    On an options rollup ETH is booked as dollars of cash, 1 ETH as 1 USD (wei for wei; a millionth of a dollar is the least).

    Exit status: 0 executed, 1 executed but its call failed (the sender keeps the amount, on the rollup), 2 not known (also with
    --no-wait) or nothing was deposited. Example: rollnet deposit alpha 1.5 --account 1 --json
    """  # noqa: D205 - the help text is one paragraph
    with command(as_json=as_json):
        with undecided():
            asked = _Asked(rollup, amount, to, token, rollup_token)
            document = run(_deposit(asked, account, net, wait=wait))
        if as_json:
            say_json(document)
        else:
            _print_deposit(document)
    raise typer.Exit(DEPOSIT_CODES[document["outcome"]])


@app.command("withdraw", context_settings=NEGATIVE)
def withdraw_command(
    rollup: Annotated[str | None, typer.Argument(help="A rollup's name; not needed with --status.")] = None,
    amount: Annotated[
        str | None,
        typer.Argument(metavar="AMOUNT", help="ETH, such as 1.5; dollars of an options rollup; or tokens."),
    ] = None,
    account: AccountOption = 0,
    to: ToOption = None,
    token: TokenOption = None,
    rollup_token: TwinOption = None,
    status: Annotated[
        str | None, typer.Option(metavar="HASH", help="Send nothing: show how far this withdrawal is.")
    ] = None,
    net: NetOption = None,
    wait: Annotated[
        bool | None,
        typer.Option(
            "--wait/--no-wait", help="Wait until L1 has paid; by default if the challenge period is short."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Withdraw ETH or tokens from a rollup to L1 and follow it: sent, batched, proposed, proven, finalized.

    An options rollup pays dollars of cash out as ETH on L1, 1 USD as 1 ETH (wei for wei; a millionth of a dollar is the least).

    Exit status: 0 finalized and paid, 1 finalized but its call failed, 2 not finished, not known or nothing was withdrawn.
    With --status and --wait, goes on to wait. Example: rollnet withdraw alpha 1.5, then rollnet withdraw --status 0x… --json
    """
    with command(as_json=as_json):
        with undecided():
            asked = _Asked(rollup, amount, to, token, rollup_token)
            document = run(_withdraw(asked, account, status, net, wait=wait))
        if as_json:
            say_json(document)
        else:
            _print_withdrawal(document)
    raise typer.Exit(WITHDRAWAL_CODES[document["outcome"]])


@contextlib.contextmanager
def undecided() -> Iterator[None]:
    """Exit status 1 says that a call failed; whatever prevents an answer has another one."""
    try:
        yield
    except RollnetError as exc:
        if exc.exit_code == BridgingFailed.exit_code:
            raise
        raise BridgingFailed(exc.message, exc.hint) from exc


async def _deposit(asked: _Asked, index: int, net: str | None, *, wait: bool) -> dict[str, Any]:
    recipient = address_if(asked.to)
    async with _meant(asked, net) as (devnet, chain, token):
        coin = coin_of(devnet.plan, chain.name)
        units = (token.currency if token else coin).parse(asked.amount or "")
        account = account_of(devnet.plan, index)
        recipient = recipient or account.address
        if token is None:
            found = await deposit(devnet, chain, account, recipient, units, tell, wait=wait)
        else:
            found = await deposit_token(devnet, chain, account, token, recipient, units, tell, wait=wait)
    return _deposit_json(found, chain.name, account.address, recipient, _amount_json(units, coin, token))


async def _withdraw(
    asked: _Asked, index: int, status: str | None, net: str | None, *, wait: bool | None
) -> dict[str, Any]:
    if status is not None:
        digest = parse_digest(status)
        if asked != _Asked(asked.rollup, None, None, None, None):
            raise InvalidTransfer("--status sends nothing", "leave the amount, --to and --token out")
        async with Devnet.attach(find_devnet(net).name) as devnet:
            chain, sent = await find_withdrawal(devnet, digest, asked.rollup)
            told = tell if wait else quiet
            found = await follow(devnet, chain, sent, told, started=time.monotonic(), wait=bool(wait))
            token = await _token_in(devnet, chain, sent)
            coin = coin_of(devnet.plan, chain.name)
            return _withdrawal_json(found, chain.name, devnet.name, coin, token, watched=bool(wait))
    if asked.rollup is None or asked.amount is None:
        raise InvalidTransfer("a rollup and an amount are needed", "such as: rollnet withdraw alpha 1.5")
    recipient = address_if(asked.to)
    async with _meant(asked, net) as (devnet, chain, token):
        coin = coin_of(devnet.plan, chain.name)
        units = (token.currency if token else coin).parse(asked.amount)
        account = account_of(devnet.plan, index)
        terms = withdrawal_terms(devnet.plan, chain.name)
        tell(
            f"expect about {roughly(terms.expected_s)}: up to {roughly(terms.publish_s)} to be on L1, {roughly(terms.proposal_s)} to an output, "
            f"then at least {roughly(terms.challenge_s)} of challenge period"
        )
        waits = terms.waits if wait is None else wait
        if not waits and wait is None:
            tell("that is not waited for without --wait")
        recipient = recipient or account.address
        if token is None:
            found = await withdraw(devnet, chain, account, recipient, units, tell, wait=waits)
        else:
            found = await withdraw_token(devnet, chain, account, token, recipient, units, tell, wait=waits)
        return _withdrawal_json(found, chain.name, devnet.name, coin, token, watched=True)


@contextlib.asynccontextmanager
async def _meant(asked: _Asked, net: str | None) -> AsyncIterator[tuple[Devnet, ChainHandle, Token | None]]:
    """The devnet, the rollup and the token (None is ETH) that a command line names."""
    if asked.token is None and asked.rollup_token is not None:
        raise InvalidTransfer("--rollup-token says what a token of L1 is there", "give --token as well")
    token, twin = address_if(asked.token), address_if(asked.rollup_token)
    async with Devnet.attach(find_devnet(net).name) as devnet:
        chain = devnet.rollup(asked.rollup or "")
        yield devnet, chain, await token_of(devnet, chain, token, twin) if token else None


async def _token_in(devnet: Devnet, rollup: ChainHandle, sent: Passed) -> Token | None:
    """What a withdrawal moves, if it is a token that tells its name."""
    moved = bridged(sent.withdrawal)
    with contextlib.suppress(RollnetError):
        return await token_of(devnet, rollup, moved.token, moved.twin) if moved else None
    return None


def address_if(text: str | None) -> str | None:
    """An address, if one was given; raises as :func:`parse_address`."""
    return None if text is None else parse_address(text)


def tell(line: str) -> None:
    """Show progress."""
    err.print(f"[dim]{escape(line)}[/dim]")


def quiet(line: str) -> None:
    """Show no progress."""
    del line


def _amount_json(units: int, coin: Currency, token: Token | None) -> dict[str, Any]:
    if token is None:
        return {"amount": coin.shown(units), "amount_wei": str(units), "currency": coin.symbol}
    return {
        "amount": token.currency.shown(units),
        "amount_units": str(units),
        "token": {"address": token.address, "rollup_token": token.twin, "symbol": token.currency.symbol},
    }


def _deposit_json(
    found: Deposited, rollup: str, sender: str, to: str, amount: dict[str, Any]
) -> dict[str, Any]:
    return {
        "kind": "deposit",
        "outcome": found.outcome,
        "rollup": rollup,
        "from": sender,
        "to": to,
        **amount,
        "l1_transaction": found.l1_transaction,
        "l2_transaction": found.l2_transaction,
        "l2_block": found.l2_block,
        "seconds": round(found.seconds, 3),
        "reason": found.reason,
    }


def _withdrawal_json(
    found: Withdrawn, rollup: str, net: str, coin: Currency, token: Token | None, *, watched: bool
) -> dict[str, Any]:
    sent, moved = found.passed, bridged(found.passed.withdrawal) if token else None
    unfinished = found.outcome == "unfinished"
    return {
        "kind": "withdrawal",
        "outcome": found.outcome,
        "rollup": rollup,
        "hash": sent.withdrawal.hash,
        "state": found.state.value,
        "from": moved.sender if moved else sent.withdrawal.sender,
        "to": moved.to if moved else sent.withdrawal.target,
        **_amount_json(moved.units if moved else sent.withdrawal.value, coin, token),
        "l2_transaction": sent.transaction,
        "l2_block": sent.block,
        "l1_transaction": found.finalized_by,
        "stages": dict(found.stages) if watched else {},
        "reason": found.reason,
        "ask_again": f"rollnet withdraw {rollup} --status {sent.withdrawal.hash} --net {net}"
        if unfinished
        else None,
    }


def _print_deposit(document: dict[str, Any]) -> None:
    block = "" if document["l2_block"] is None else f" in block {document['l2_block']}"
    print_outcome(f"deposit of {_amount(document)} to {document['rollup']}", document)
    _print_token(document)
    _print_rate(document)
    out.print(f"  L1 transaction {document['l1_transaction']}", soft_wrap=True)
    out.print(f"  L2 transaction {document['l2_transaction']}{block}", soft_wrap=True)
    out.print(f"  {document['seconds']:.1f} s")


def _print_withdrawal(document: dict[str, Any]) -> None:
    state = f", {document['state']}" if document["outcome"] == "unfinished" else ""
    print_outcome(f"withdrawal of {_amount(document)} from {document['rollup']}", document, state)
    _print_token(document)
    _print_rate(document)
    out.print(f"  hash {document['hash']}", soft_wrap=True)
    out.print(
        f"  L2 transaction {document['l2_transaction']} in block {document['l2_block']}", soft_wrap=True
    )
    if document["l1_transaction"]:
        out.print(f"  L1 transaction {document['l1_transaction']}", soft_wrap=True)
    if document["ask_again"]:
        out.print(f"  ask again: {document['ask_again']}", soft_wrap=True)


def _amount(document: dict[str, Any]) -> str:
    token = document.get("token")
    return escape(f"{document['amount']} {token['symbol'] if token else document['currency']}")


def _print_rate(document: dict[str, Any]) -> None:
    """What the other side of the bridge calls the same wei, where it calls them something else."""
    if document.get("currency", ETHER.symbol) != ETHER.symbol:
        same = f"{ether(int(document['amount_wei']))} {ETHER.symbol}"
        where = (
            f"1 {ETHER.symbol} there is 1 {document['currency']} of cash on {document['rollup']}, wei for wei"
        )
        out.print(f"  {same} on L1: {where}", markup=False, soft_wrap=True)


def _print_token(document: dict[str, Any]) -> None:
    if token := document.get("token"):
        where = f"{token['address']} on L1, {token['rollup_token']} on {document['rollup']}"
        out.print(f"  token {where}", soft_wrap=True)


def print_outcome(what: str, document: dict[str, Any], state: str = "") -> None:
    """The first lines of what a command comes to."""
    colour = {"executed": "green", "finalized": "green", "failed": "red", "refunded": "red"}.get(
        document["outcome"], "yellow"
    )
    out.print(f"{what}: [{colour}]{document['outcome']}[/{colour}]{state}", soft_wrap=True)
    if document["reason"]:
        out.print(f"  reason: {document['reason']}", markup=False, soft_wrap=True)
