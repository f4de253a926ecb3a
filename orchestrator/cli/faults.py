"""``fault inject|heal|list``: one fault of one node by hand; whole scenarios of them are ``rollnet chaos``."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.cli.output import (
    NODE_HELP,
    JsonOption,
    NetOption,
    command,
    command_group,
    err,
    out,
    run,
    say_json,
)
from orchestrator.devnet import Devnet
from orchestrator.errors import RollnetError
from orchestrator.registry import find_devnet
from orchestrator.runtimes.errors import BadFaultError
from orchestrator.runtimes.faults import (
    KINDS,
    Bite,
    DevnetFaults,
    Fault,
    Healing,
    OutOfMemory,
    described,
    fault_from_dict,
    fault_to_dict,
)
from orchestrator.topology.durations import parse_duration, suggest_duration

app = command_group("Do something to a node on purpose, see whether it took effect, and undo it.")

NodeArgument = Annotated[str, typer.Argument(help=NODE_HELP)]
NOT_BITTEN = 2
"""Exit code when a fault's effect, or its end, was not seen."""
_SLOW_S = 4.0
_OPTIONS = {"peer": "--peer", "bytes_per_s": "--rate", "share": "--share", "spare_bytes": "--spare"}
_LIFECYCLE = ("kill", "stop", "pause", "resume", "restart")


@dataclass(frozen=True, slots=True)
class Told:
    """What became of one fault."""

    fault: Fault
    bite: Bite | None = None
    healing: Healing | None = None

    def as_json(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        return {
            "fault": fault_to_dict(self.fault),
            **({"bit": self.bite.bit, "evidence": self.bite.evidence} if self.bite else {}),
            **({"healed": self.healing.healed, "healing": self.healing.evidence} if self.healing else {}),
        }

    def show(self) -> None:
        """For people."""
        if self.bite is not None:
            verdict = "bit" if self.bite.bit else "did not bite"
            out.print(f"{described(self.fault)}: {verdict}: {self.bite.evidence}", markup=False)
        if self.healing is not None:
            verdict = "healed" if self.healing.healed else "its end was not seen"
            out.print(f"{described(self.fault)}: {verdict}: {self.healing.evidence}", markup=False)


@app.command()
def inject(
    kind: Annotated[str, typer.Argument(help=f"One of: {', '.join(KINDS)}.")],
    node: NodeArgument,
    peer: Annotated[
        str | None, typer.Option(help="blackhole, reset: the node at the other end of the link.")
    ] = None,
    rate: Annotated[int | None, typer.Option(help="throttle: bytes a second that may leave.")] = None,
    share: Annotated[
        float | None, typer.Option(help="packet-loss: how many packets get lost, such as 0.3.")
    ] = None,
    spare: Annotated[
        int | None, typer.Option(help="disk-full: bytes that open files may still grow by; 0 by default.")
    ] = None,
    lasting: Annotated[
        str | None, typer.Option("--for", help="Heal it after this long, such as 5s; by default it stays.")
    ] = None,
    net: NetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Do something to a node and look from outside whether it took effect. Exit code 0: it bit; 2: it did not.

    Example: rollnet fault inject blackhole alpha --peer sequencer --for 5s
    """
    with command(as_json=as_json):
        given = {"peer": peer, "bytes_per_s": rate, "share": share, "spare_bytes": spare}
        fault = _fault(kind, node, {name: value for name, value in given.items() if value is not None})
        told = run(_inject(fault, None if lasting is None else _seconds(lasting), net))
        if as_json:
            say_json(told.as_json())
        else:
            told.show()
            if told.healing is None and not isinstance(fault, OutOfMemory):
                out.print(f"it stays until: rollnet fault heal {node} {kind}", markup=False)
            elif told.healing is None:
                out.print(f"bring the node back: rollnet node restart {node}", markup=False)
        if told.bite is None or not told.bite.bit:
            raise typer.Exit(NOT_BITTEN)


@app.command()
def heal(
    node: NodeArgument,
    kind: Annotated[
        str | None, typer.Argument(help="Of the faults to undo; all of the node by default.")
    ] = None,
    net: NetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Undo what is done to a node, whether it runs or not. Exit code 0: the end of each was seen; 2: not of all.

    Example: rollnet fault heal alpha
    """
    with command(as_json=as_json):
        if kind is not None and kind not in KINDS:
            raise BadFaultError(f"{kind!r} is no kind of fault", f"one of: {', '.join(KINDS)}")
        told = run(_heal(node, kind, net))
        if as_json:
            say_json({"healed": [one.as_json() for one in told]})
        elif not told:
            out.print(f"nothing{f' of kind {kind}' if kind else ''} is in force on {node}", markup=False)
        else:
            for one in told:
                one.show()
        if any(one.healing is None or not one.healing.healed for one in told):
            raise typer.Exit(NOT_BITTEN)


@app.command(name="list")
def list_faults(net: NetOption = None, as_json: JsonOption = False) -> None:
    """Show what this devnet's runtime can do to its nodes, and what is being done.

    Example: rollnet fault list
    """
    with command(as_json=as_json):
        found = run(_list(net))
        if as_json:
            say_json(
                {"possible": found.possible, "in_force": [fault_to_dict(fault) for fault in found.in_force]}
            )
            return
        missing = [kind for kind in KINDS if kind not in found.possible]
        out.print(f"possible: {', '.join(found.possible) or 'none'}", markup=False)
        if missing:
            out.print(f"not on this runtime: {', '.join(missing)}", markup=False)
        for fault in found.in_force:
            out.print(f"in force: {described(fault)}", markup=False)
        if not found.in_force:
            out.print("in force: nothing")


def _fault(kind: str, node: str, given: dict[str, Any]) -> Fault:
    if kind in _LIFECYCLE:
        raise BadFaultError(f"{kind} is done to a node itself", f"rollnet node {kind} {node}")
    try:
        return fault_from_dict({"kind": kind, "node": node, **given})
    except BadFaultError as exc:
        message, hint = exc.message, exc.hint
        for field, option in _OPTIONS.items():
            message, hint = message.replace(field, option), hint.replace(field, option)
        raise BadFaultError(message, hint) from exc


def _seconds(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as exc:
        meant = suggest_duration(text)
        raise BadFaultError(
            f"--for {text!r} is no duration", f"write {meant}" if meant else "write one such as 5s"
        ) from exc


async def _inject(fault: Fault, seconds: float | None, net: str | None) -> Told:
    async with Devnet.attach(find_devnet(net).name) as devnet:
        handle = devnet.node(fault.node)
        slow = asyncio.get_running_loop().call_later(_SLOW_S, _say_where, devnet.directory.log_of("engine"))
        timed = seconds is not None and not isinstance(fault, OutOfMemory)
        try:
            bite = await handle.inject(
                fault, seconds if timed else None
            )  # its supervisor heals it should we not be there
            if not timed:
                return Told(fault, bite)
            await asyncio.sleep(seconds or 0.0)
        except BaseException:
            if timed:  # Ctrl-C, or no answer: it may be in force all the same
                with contextlib.suppress(RollnetError):
                    await handle.heal(fault)
            raise
        finally:
            slow.cancel()
        return Told(fault, bite, await handle.heal(fault))


def _say_where(log: Path) -> None:
    """Of an image with tools, which is built where it is missing."""
    lines = log.read_text().splitlines()[-1:] if log.exists() else []
    err.print(f"still at it{f': {lines[0]} (see {log})' if lines else ''}", markup=False)


async def _heal(node: str, kind: str | None, net: str | None) -> Sequence[Told]:
    async with Devnet.attach(find_devnet(net).name) as devnet:
        handle = devnet.node(node)
        await handle.status()  # a name that is no node's is an error, not a node without faults
        told: list[Told] = []
        for fault in reversed(await handle.faults()):
            if kind in {None, fault.kind}:
                try:
                    healing = await handle.heal(fault)
                except RollnetError as exc:  # it stays; the others can be undone all the same
                    healing = Healing(
                        False, f"still in force: {exc.message}{f'; {exc.hint}' if exc.hint else ''}"
                    )
                told.append(Told(fault, healing=healing))
        return told


async def _list(net: str | None) -> DevnetFaults:
    async with Devnet.attach(find_devnet(net).name) as devnet:
        return await devnet.nodes.faults()
