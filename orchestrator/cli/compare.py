"""``compare``: the same strategies under a shared sequencer and over the L1 bridge, side by side."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.output import JsonOption, command, command_group, err, out, run, say_json
from orchestrator.comparison import Comparison, comparison_to_json, print_comparison
from orchestrator.comparison.running import NotCompared, Plans, compare, plans_of, require_fit
from orchestrator.comparison.work import Work
from orchestrator.strategies.catalogue import find_strategy
from orchestrator.tracing import Outcome

RUNS, MESSAGES = 20, 20
"""Twenty are the fewest of which there is a median."""

app = command_group()


@app.command("compare")
def compare_command(
    strategy: Annotated[str, typer.Argument(help="A preset's name or a strategy file.")],
    topology: Annotated[
        Path,
        typer.Option(help="A topology with a market, several rollups and a short challenge period."),
    ] = Path("topologies/bridge-quad.yaml"),
    runs: Annotated[int, typer.Option(min=1, max=1_000, help="How often it is run in each mode.")] = RUNS,
    messages: Annotated[
        int, typer.Option(min=0, max=1_000, help="Plain messages sent between rollups over the bridge.")
    ] = MESSAGES,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A preset's parameter; may be repeated."),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Instead of the topology's.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("--out", help="Folder of the pages; by default the run directory with the bridge."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run a strategy both ways and compare: latency by stage, L1 gas, time that capital was locked, the two critical paths.

    Launches the topology twice, one after the other, with only the messaging mode changed, takes everything down again and writes
    compare.html, compare.md and compare.json. Exits 0 if every strategy committed both ways, 1 if one did not, 2 if one has no end
    or a devnet did not come up.

    Example: rollnet compare iron_condor --topology topologies/bridge-pair.yaml --set rollups=alpha,beta
    """
    with command(as_json=as_json):
        plans = plans_of(topology, seed)
        work = _work(plans, strategy, settings or [], runs, messages)
        again = _again(strategy, topology, settings or [], runs, messages, plans.bridge.seed)
        found, files = run(compare(plans, work, _tell, command=again, out=output))
        if as_json:
            say_json({**comparison_to_json(found), "files": [str(path) for path in files]})
        else:
            print_comparison(found, out)
            out.print(f"written: {', '.join(str(path) for path in files)}", soft_wrap=True, markup=False)
    raise typer.Exit(exit_code(found))


def exit_code(found: Comparison) -> int:
    """0 if every strategy committed both ways, 1 if one did not or the journals contradict themselves, 2 if one has no end."""
    if any(side.alarms or side.count(Outcome.PARTIAL) for side in found.sides):
        return 1
    if any(side.count(Outcome.UNKNOWN) for side in found.sides):
        return 2
    return 0 if found.both_committed else 1


def _work(plans: Plans, strategy: str, settings: Sequence[str], runs: int, messages: int) -> Work:
    market = plans.bridge.market
    if market is None:
        raise NotCompared(
            f"{plans.bridge.name} has no options market", "add a `market:` section to its topology"
        )
    work = Work(find_strategy(strategy, market, settings, []), runs, messages, plans.bridge.seed)
    require_fit(plans.bridge, work.strategy, messages)
    return work


def _again(
    strategy: str, topology: Path, settings: Sequence[str], runs: int, messages: int, seed: int
) -> str:
    """The command line that makes the comparison again, with everything said."""
    said = ["rollnet", "compare", strategy, "--topology", str(topology)]
    said += [part for setting in settings for part in ("--set", setting)]
    said += ["--runs", str(runs), "--messages", str(messages), "--seed", str(seed)]
    return shlex.join(said)


def _tell(line: str) -> None:
    err.print(line, markup=False)
