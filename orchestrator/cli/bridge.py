"""``deposit`` and ``withdraw``: ETH between L1 and a rollup, followed to its end."""

import contextlib
import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.markup import escape

from orchestrator.bridging import (
    Deposited,
    Withdrawn,
    deposit,
    find_withdrawal,
    follow,
    withdraw,
)
from orchestrator.bridging_sending import BridgingFailed
from orchestrator.bridging_terms import (
    InvalidTransfer,
    account_of,
    ether,
    parse_address,
    parse_digest,
    parse_ether,
    withdrawal_terms,
)
from orchestrator.cli.output import JsonOption, NetOption, command, command_group, err, out, run, say_json
from orchestrator.devnet import Devnet
from orchestrator.errors import RollnetError
from orchestrator.registry import find_devnet

DEPOSIT_CODES = {"executed": 0, "failed": 1, "unknown": 2}
WITHDRAWAL_CODES = {"finalized": 0, "failed": 1, "unfinished": 2}
NEGATIVE = {"ignore_unknown_options": True}
"""So that -1 is an amount that is refused with words, not an option that nobody knows."""

app = command_group()

RollupArgument = Annotated[str, typer.Argument(help="A rollup's name.")]
AmountArgument = Annotated[str, typer.Argument(metavar="AMOUNT_ETH", help="ETH, such as 1.5.")]
AccountOption = Annotated[int, typer.Option(help="Index of the funded account that signs.")]
ToOption = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Recipient; the account's own address by default.")
]


@app.command("deposit", context_settings=NEGATIVE)
def deposit_command(
    rollup: RollupArgument,
    amount: AmountArgument,
    account: AccountOption = 0,
    to: ToOption = None,
    net: NetOption = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until the rollup has executed it.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Deposit ETH from L1 into a rollup through its OptimismPortal and wait until the rollup has executed it.

    Exit status: 0 executed, 1 executed but its call failed (the sender keeps the ETH, on the rollup), 2 not known (also with
    --no-wait) or nothing was deposited. Example: rollnet deposit alpha 1.5 --account 1 --json
    """
    with command(as_json=as_json):
        with _undecided():
            document = run(_deposit(rollup, amount, account, to, net, wait=wait))
        if as_json:
            say_json(document)
        else:
            _print_deposit(document)
    raise typer.Exit(DEPOSIT_CODES[document["outcome"]])


@app.command("withdraw", context_settings=NEGATIVE)
def withdraw_command(
    rollup: Annotated[str | None, typer.Argument(help="A rollup's name; not needed with --status.")] = None,
    amount: Annotated[str | None, typer.Argument(metavar="AMOUNT_ETH", help="ETH, such as 1.5.")] = None,
    account: AccountOption = 0,
    to: ToOption = None,
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
    """Withdraw ETH from a rollup to L1 and follow it: sent, batched, proposed, proven, finalized.

    Exit status: 0 finalized and paid, 1 finalized but its call failed, 2 not finished, not known or nothing was withdrawn.
    With --status and --wait, goes on to wait. Example: rollnet withdraw alpha 1.5, then rollnet withdraw --status 0x… --json
    """
    with command(as_json=as_json):
        with _undecided():
            document = run(_withdraw(rollup, amount, account, to, status, net, wait=wait))
        if as_json:
            say_json(document)
        else:
            _print_withdrawal(document)
    raise typer.Exit(WITHDRAWAL_CODES[document["outcome"]])


@contextlib.contextmanager
def _undecided() -> Iterator[None]:
    """Exit status 1 says that a call failed; whatever prevents an answer has another one."""
    try:
        yield
    except RollnetError as exc:
        if exc.exit_code == BridgingFailed.exit_code:
            raise
        raise BridgingFailed(exc.message, exc.hint) from exc


async def _deposit(
    rollup: str, amount: str, index: int, to: str | None, net: str | None, *, wait: bool
) -> dict[str, Any]:
    wei, recipient = parse_ether(amount), to and parse_address(to)
    async with Devnet.attach(find_devnet(net).name) as devnet:
        chain, account = devnet.rollup(rollup), account_of(devnet.plan, index)
        recipient = recipient or account.address
        found = await deposit(devnet, chain, account, recipient, wei, _tell, wait=wait)
    return _deposit_json(found, chain.name, account.address, recipient, wei)


async def _withdraw(
    rollup: str | None,
    amount: str | None,
    index: int,
    to: str | None,
    status: str | None,
    net: str | None,
    *,
    wait: bool | None,
) -> dict[str, Any]:
    if status is not None:
        digest = parse_digest(status)
        if amount is not None or to is not None:
            raise InvalidTransfer("--status sends nothing", "leave the amount and --to out")
        async with Devnet.attach(find_devnet(net).name) as devnet:
            chain, sent = await find_withdrawal(devnet, digest, rollup)
            tell = _tell if wait else _quiet
            found = await follow(devnet, chain, sent, tell, started=time.monotonic(), wait=bool(wait))
            return _withdrawal_json(found, chain.name, devnet.name, watched=bool(wait))
    if rollup is None or amount is None:
        raise InvalidTransfer("a rollup and an amount are needed", "such as: rollnet withdraw alpha 1.5")
    wei, recipient = parse_ether(amount), to and parse_address(to)
    async with Devnet.attach(find_devnet(net).name) as devnet:
        chain, account = devnet.rollup(rollup), account_of(devnet.plan, index)
        terms = withdrawal_terms(devnet.plan, chain.name)
        _tell(
            f"expect about {terms.expected_s:.1f} s: up to {terms.publish_s:.1f} s to be on L1, {terms.proposal_s:.1f} s to an output, "
            f"then at least {terms.challenge_s:.1f} s of challenge period"
        )
        waits = terms.waits if wait is None else wait
        if not waits and wait is None:
            _tell("that is not waited for without --wait")
        recipient = recipient or account.address
        found = await withdraw(devnet, chain, account, recipient, wei, _tell, wait=waits)
        return _withdrawal_json(found, chain.name, devnet.name, watched=True)


def _tell(line: str) -> None:
    err.print(f"[dim]{escape(line)}[/dim]")


def _quiet(line: str) -> None:
    del line


def _deposit_json(found: Deposited, rollup: str, sender: str, to: str, wei: int) -> dict[str, Any]:
    return {
        "kind": "deposit",
        "outcome": found.outcome,
        "rollup": rollup,
        "from": sender,
        "to": to,
        "amount": ether(wei),
        "amount_wei": str(wei),
        "l1_transaction": found.l1_transaction,
        "l2_transaction": found.l2_transaction,
        "l2_block": found.l2_block,
        "seconds": round(found.seconds, 3),
        "reason": found.reason,
    }


def _withdrawal_json(found: Withdrawn, rollup: str, net: str, *, watched: bool) -> dict[str, Any]:
    sent = found.passed
    unfinished = found.outcome == "unfinished"
    return {
        "kind": "withdrawal",
        "outcome": found.outcome,
        "rollup": rollup,
        "hash": sent.withdrawal.hash,
        "state": found.state.value,
        "from": sent.withdrawal.sender,
        "to": sent.withdrawal.target,
        "amount": ether(sent.withdrawal.value),
        "amount_wei": str(sent.withdrawal.value),
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
    _print_outcome(f"deposit of {document['amount']} ETH to {document['rollup']}", document)
    out.print(f"  L1 transaction {document['l1_transaction']}", soft_wrap=True)
    out.print(f"  L2 transaction {document['l2_transaction']}{block}", soft_wrap=True)
    out.print(f"  {document['seconds']:.1f} s")


def _print_withdrawal(document: dict[str, Any]) -> None:
    state = f", {document['state']}" if document["outcome"] == "unfinished" else ""
    _print_outcome(f"withdrawal of {document['amount']} ETH from {document['rollup']}", document, state)
    out.print(f"  hash {document['hash']}", soft_wrap=True)
    out.print(
        f"  L2 transaction {document['l2_transaction']} in block {document['l2_block']}", soft_wrap=True
    )
    if document["l1_transaction"]:
        out.print(f"  L1 transaction {document['l1_transaction']}", soft_wrap=True)
    if document["ask_again"]:
        out.print(f"  ask again: {document['ask_again']}", soft_wrap=True)


def _print_outcome(what: str, document: dict[str, Any], state: str = "") -> None:
    colour = {"executed": "green", "finalized": "green", "failed": "red"}.get(document["outcome"], "yellow")
    out.print(f"{what}: [{colour}]{document['outcome']}[/{colour}]{state}", soft_wrap=True)
    if document["reason"]:
        out.print(f"  reason: {document['reason']}", markup=False, soft_wrap=True)
