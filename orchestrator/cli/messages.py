"""``message send``, ``message status`` and ``message list``: messages from one rollup to another, over L1."""

from typing import Annotated, Any

import typer

from bridge.relayer.messages.lifecycle import State
from orchestrator.bridging.sending import BridgingFailed
from orchestrator.bridging.terms import (
    InvalidTransfer,
    account_of,
    coin_between,
    message_terms,
    roughly,
)
from orchestrator.cli.bridge import NEGATIVE, address_if, quiet, tell, undecided
from orchestrator.cli.message_output import followed_json, listed_json, print_messages, say_message
from orchestrator.cli.output import JsonOption, NetOption, command, command_group, run, say_json
from orchestrator.devnet import Devnet
from orchestrator.messaging.logs import sent_messages
from orchestrator.messaging.reading import find_message, states_of
from orchestrator.messaging.sending import follow_message, send_message
from orchestrator.messaging.terms import (
    DEFAULT_GAS,
    EXIT_CODES,
    Waiting,
    default_validity_s,
    doubt,
    parse_beginning,
    parse_data,
    parse_validity,
    wish,
)
from orchestrator.registry import find_devnet

STATES = tuple(str(state) for state in State if state is not State.DROPPED)
"""What ``--state`` takes."""
MAX_LISTED = 10_000
"""Of ``--limit``."""
app = command_group("Send messages from rollup to rollup over L1, and see how far they are.")


@app.command("send", context_settings=NEGATIVE)
def send_command(
    source: Annotated[str, typer.Argument(help="The rollup that it is sent on.")],
    destination: Annotated[str, typer.Argument(help="The rollup that it is for.")],
    to: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Whom to call there; the account's own address by default."),
    ] = None,
    value: Annotated[
        str,
        typer.Option(
            metavar="ETH",
            help="ETH that travels with it, such as 1.5; from an options rollup dollars, wei for wei.",
        ),
    ] = "0",
    data: Annotated[
        str | None, typer.Option(metavar="0x…", help="Call data, such as `cast calldata` makes it.")
    ] = None,
    gas: Annotated[int, typer.Option(help="Gas that the call is guaranteed to have.")] = DEFAULT_GAS,
    valid_for: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="How long it may be executed, such as 10m; then it is refunded. By default long enough.",
        ),
    ] = None,
    account: Annotated[int, typer.Option(help="Index of the funded account that signs.")] = 0,
    net: NetOption = None,
    wait: Annotated[
        bool | None,
        typer.Option(
            "--wait/--no-wait",
            help="Wait until it is executed or refunded; by default if the challenge period is short, and until a first failure.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Send a message to another rollup and follow it: sent, batched, proposed, proven, finalized, deposited, executed.

    Exit status: 0 executed, 1 its call failed (it is tried again until it expires) or it was refunded, 2 not finished, not known or
    nothing was sent. Example: rollnet message send alpha beta --to 0x… --value 1.5 --valid-for 10m
    """
    with command(as_json=as_json):
        with undecided():
            wished = (source, destination, to, value, data, gas, valid_for)
            document = run(_send(wished, account, net, wait=wait))
        say_message(document, as_json=as_json)
    raise typer.Exit(EXIT_CODES[document["outcome"]])


@app.command("status")
def status_command(
    digest: Annotated[
        str, typer.Argument(metavar="HASH", help="The message's hash, or the beginning of it.")
    ],
    net: NetOption = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it is executed or refunded.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show how far a message is, read from L1 and both rollups.

    Exit status: 0 executed, 1 its call failed (it is tried again until it expires) or it was refunded, 2 not finished or not known.
    Example: rollnet message status 0x… --wait --json
    """
    with command(as_json=as_json):
        with undecided():
            document = run(_status(digest, net, wait=wait))
        say_message(document, as_json=as_json)
    raise typer.Exit(EXIT_CODES[document["outcome"]])


@app.command("list")
def list_command(
    source: Annotated[
        str | None, typer.Option("--from", metavar="ROLLUP", help="Only messages sent on it.")
    ] = None,
    destination: Annotated[
        str | None, typer.Option("--to", metavar="ROLLUP", help="Only messages for it.")
    ] = None,
    state: Annotated[
        str | None,
        typer.Option(metavar="STATE", help=f"Only messages in this state: {', '.join(STATES)}."),
    ] = None,
    limit: Annotated[int, typer.Option(help="How many at most, the newest first.")] = 20,
    net: NetOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the messages that rollups sent, the newest first, and how far each is.

    Exit status: 0, or 2 if a chain does not answer. Example: rollnet message list --from alpha --state failed
    """
    with command(as_json=as_json):
        with undecided():
            document = run(_list(source, destination, state, limit, net))
        if as_json:
            say_json(document)
        else:
            print_messages(document)
    if document["trouble"]:
        raise typer.Exit(BridgingFailed.exit_code)


async def _send(
    wished: tuple[str, str, str | None, str, str | None, int, str | None],
    index: int,
    net: str | None,
    *,
    wait: bool | None,
) -> dict[str, Any]:
    source, destination, to, value, data, gas, valid_for = wished
    call_data = parse_data(data)
    target, valid_s = address_if(to), None if valid_for is None else parse_validity(valid_for)
    async with Devnet.attach(find_devnet(net).name) as devnet:
        here, there = devnet.rollup(source), devnet.rollup(destination)
        wei = coin_between(devnet.plan, here.name, there.name).parse(value, zero=True)
        account = account_of(devnet.plan, index)
        terms = message_terms(devnet.plan, here.name, there.name)
        asked = wish(
            here.name,
            there.name,
            target or account.address,
            wei,
            call_data,
            gas,
            default_validity_s(terms) if valid_s is None else valid_s,
        )
        way = terms.withdrawal
        tell(
            f"expect about {roughly(terms.expected_s)}: up to {roughly(way.publish_s)} to be on L1, {roughly(way.proposal_s)} to an output, "
            f"at least {roughly(way.challenge_s)} of challenge period, {roughly(terms.delivery_s)} to {there.name}"
        )
        waits = Waiting.ANSWER if terms.waits else Waiting.NOTHING
        if wait is not None:
            waits = Waiting.END if wait else Waiting.NOTHING
        for line in (
            doubt(terms, asked.valid_for_s),
            "" if terms.waits or wait is not None else "that is not waited for without --wait",
        ):
            if line:
                tell(line)
        followed = await send_message(devnet, here, there, account, asked, tell, waiting=waits)
        return followed_json(followed, devnet.plan, devnet.name)


async def _status(text: str, net: str | None, *, wait: bool) -> dict[str, Any]:
    digest = parse_beginning(text)
    async with Devnet.attach(find_devnet(net).name) as devnet:
        found = await find_message(devnet, digest)
        waiting = Waiting.END if wait else Waiting.NOTHING
        followed = await follow_message(devnet, found, tell if wait else quiet, waiting=waiting)
        return followed_json(followed, devnet.plan, devnet.name)


async def _list(
    source: str | None, destination: str | None, state: str | None, limit: int, net: str | None
) -> dict[str, Any]:
    if state is not None and state not in STATES:
        raise InvalidTransfer(f"no state {state!r}", f"there are: {', '.join(STATES)}")
    if not 1 <= limit <= MAX_LISTED:
        raise InvalidTransfer(f"--limit is from 1 to {MAX_LISTED:,}, not {limit}", "mend --limit")
    async with Devnet.attach(find_devnet(net).name) as devnet:
        messages, silent = await sent_messages(devnet, source=source, destination=destination)
        # Without a filter only those that are shown have to be asked about.
        asked = messages if state else messages[:limit]
        states, trouble = await states_of(devnet, asked)
    matching = [each for each in asked if state in (None, states.get(each.hash))]
    return {
        "messages": [listed_json(each, states.get(each.hash), devnet.plan) for each in matching[:limit]],
        "matching": len(matching) if state else len(messages),
        "trouble": [*silent, *trouble],
    }
