"""``node kill|stop|pause|resume|restart``: the life of single nodes."""

from typing import Annotated

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
from orchestrator.registry import find_devnet
from orchestrator.runtimes.base import NodeStatus

app = command_group("Kill, pause and bring back single nodes.")

NodeArgument = Annotated[str, typer.Argument(help=NODE_HELP)]


async def _operate(operation: str, node: str, net: str | None) -> NodeStatus:
    async with Devnet.attach(find_devnet(net).name) as devnet:
        done: NodeStatus = await getattr(devnet.node(node), operation)()
        return done


def _command(operation: str, node: str, net: str | None, *, as_json: bool) -> None:
    with command(as_json=as_json):
        status = run(_operate(operation, node, net))
        if as_json:
            say_json(
                {
                    "node": node,
                    "operation": operation,
                    "state": status.state.value,
                    "boot": status.boot,
                    "pid": status.pid,
                    "container": status.container,
                }
            )
        else:
            out.print(f"{node}: {status.state.value} (boot {status.boot})")
            if status.confirmed is None:
                err.print(f"it did not bite: nobody else has seen the {operation} of {node}", markup=False)


@app.command()
def kill(node: NodeArgument, net: NetOption = None, as_json: JsonOption = False) -> None:
    """End a node with SIGKILL, with everything in it.

    Example: rollnet node kill sequencer
    """
    _command("kill", node, net, as_json=as_json)


@app.command()
def stop(node: NodeArgument, net: NetOption = None, as_json: JsonOption = False) -> None:
    """End a node politely (SIGTERM, then force).

    Example: rollnet node stop alpha
    """
    _command("stop", node, net, as_json=as_json)


@app.command()
def pause(node: NodeArgument, net: NetOption = None, as_json: JsonOption = False) -> None:
    """Freeze a node: it accepts connections and answers nothing.

    Example: rollnet node pause beta
    """
    _command("pause", node, net, as_json=as_json)


@app.command()
def resume(node: NodeArgument, net: NetOption = None, as_json: JsonOption = False) -> None:
    """Thaw a paused node.

    Example: rollnet node resume beta
    """
    _command("resume", node, net, as_json=as_json)


@app.command()
def restart(node: NodeArgument, net: NetOption = None, as_json: JsonOption = False) -> None:
    """Bring a node back, or stop and start it; returns when it is ready.

    Example: rollnet node restart sequencer
    """
    _command("restart", node, net, as_json=as_json)
