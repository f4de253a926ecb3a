"""Writing an export: the file, and beside it everything that it needs."""

import contextlib
import os
import socket
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from orchestrator.errors import RollnetError
from orchestrator.export.compose import GENESIS_FOLDER, MARK, ComposeExport, published_nodes
from orchestrator.genesis_files import write_genesis
from orchestrator.runtimes.docker.image.contents import gather
from orchestrator.runtimes.ports import LOOPBACK
from orchestrator.topology.plan import Plan
from orchestrator.topology.plan_json import plan_to_dict

FILE_NAME = "compose.yaml"
FIRST_PORT = 8545
"""Where the search for free ports begins."""
LAST_PORT = 65535
_ENDINGS = (".yaml", ".yml")


class NotExported(RollnetError):  # noqa: N818 - named for what the user holds in hand
    """There is no place for the files, or no ports for the devnet; nothing was written over."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    file: Path
    """The compose file."""
    folder: Path
    """What lies beside it."""
    export: ComposeExport


async def export_compose(plan: Plan, output: Path | None = None, first_port: int | None = None) -> Exported:
    """Write a devnet as a compose file.

    Args:
        plan: the devnet.
        output: a file (its name ends in ``.yaml`` or ``.yml``; what it needs lies in the folder of the same name beside it), or a
            folder that holds everything; ``<name>-compose`` here by default.
        first_port: ports on 127.0.0.1 count from here, free or not; without it they are free ones from 8545 on.

    Raises:
        NotExported: something else is there already, the place can't be written, or there are no such ports.
    """
    target = output or Path(f"{plan.name}-compose")
    in_file = target.suffix in _ENDINGS
    file = target if in_file else target / FILE_NAME
    folder = target.with_suffix("") if in_file else target
    _require_ours(file)
    nodes = published_nodes(plan)
    ports = _ports(len(nodes), first_port)
    export = ComposeExport(
        plan,
        gather().name,
        dict(zip(nodes, ports, strict=True)),
        f"{folder.name}/" if in_file else "",
        file.name,
    )
    try:
        (folder / GENESIS_FOLDER).mkdir(parents=True, exist_ok=True)
        await write_genesis(plan, folder)
        (folder / "plan.json").write_bytes(orjson.dumps(plan_to_dict(plan), option=orjson.OPT_INDENT_2))
        # containers run as nobody from here, whatever this user's umask is
        for path in ((folder / GENESIS_FOLDER), *(folder / GENESIS_FOLDER).iterdir()):
            path.chmod(0o755 if path.is_dir() else 0o644)
        _replace(file, export.text())
    except OSError as exc:
        raise NotExported(f"{target} can't be written: {exc}", "give another --output") from exc
    return Exported(file, folder, export)


def _require_ours(file: Path) -> None:
    try:
        begins = file.read_text(errors="replace")[: len(MARK)]
    except FileNotFoundError:
        return
    except OSError as exc:
        raise NotExported(f"{file} can't be written: {exc.strerror or exc}", "give another --output") from exc
    if begins != MARK:
        raise NotExported(
            f"{file} is there already, and was not written by an export", "give another --output"
        )


def _replace(file: Path, text: str) -> None:
    """Whole or not at all."""
    descriptor, fresh = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
    try:
        with os.fdopen(descriptor, "w") as opened:
            opened.write(text)
        Path(fresh).chmod(0o644)
        Path(fresh).replace(file)
    except BaseException:
        Path(fresh).unlink(missing_ok=True)
        raise


def _ports(count: int, first: int | None) -> Sequence[int]:
    if first is not None:
        if not 1 <= first <= LAST_PORT - count + 1:
            raise NotExported(
                f"{count} ports from {first} on are not all between 1 and {LAST_PORT}",
                f"give a --first-port up to {LAST_PORT - count + 1}",
            )
        return range(first, first + count)
    begin = FIRST_PORT
    for port in range(FIRST_PORT, LAST_PORT + 1):
        if not _free(port):
            begin = port + 1
        elif port - begin + 1 == count:
            return range(begin, begin + count)
    raise NotExported(
        f"there are no {count} free ports in a row on {LOOPBACK}", "give --first-port, or free some"
    )


def _free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as held, contextlib.suppress(OSError):
        held.bind((LOOPBACK, port))
        return True
    return False
