"""The registry: one owner per name, and a sweep that ends what is ours and nothing else."""

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from orchestrator.leftovers import left_behind
from orchestrator.registry import Control, DevnetEntry, Registry
from orchestrator.runtimes.errors import DevnetGoneError, NameTakenError, PlanError
from orchestrator.runtimes.orphans import HOME_MARK, OWNER_MARK, RUN_MARK, ProcessId, end_marked, namespace

Sleeper = Callable[..., "subprocess.Popen[bytes]"]


def this_process() -> ProcessId:
    """Ourselves."""
    found = ProcessId.of(os.getpid())
    assert found is not None
    return found


def dead_process() -> ProcessId:
    """A process that has been."""
    process = subprocess.Popen(["sleep", "600"])
    found = ProcessId.of(process.pid)
    process.kill()
    process.wait()
    assert found is not None
    return found


def entry_of(name: str, run_id: str = "run-1", supervisor: ProcessId | None = None) -> DevnetEntry:
    """An entry, by default of this process."""
    return DevnetEntry(
        name, run_id, "/runs/1", supervisor or this_process(), Control(1, "secret"), ports=(2, 3)
    )


@pytest.fixture
def sleeper(home: Path) -> Iterator[Sleeper]:
    """Starts processes that sleep, with or without marks."""
    started: list[subprocess.Popen[bytes]] = []

    def start(run_id: str = "", owner: str = "", *, state_home: Path = home) -> "subprocess.Popen[bytes]":
        marks = {RUN_MARK: run_id, HOME_MARK: str(state_home), OWNER_MARK: owner} if run_id else {}
        process = subprocess.Popen(["sleep", "600"], env={**os.environ, **marks}, start_new_session=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def ended(process: "subprocess.Popen[bytes]") -> bool:
    """Whether a process has been ended; waits a little for the kernel."""
    try:
        process.wait(timeout=0.3)
    except subprocess.TimeoutExpired:
        return False
    return True


def test_entries_survive_the_disk(home: Path) -> None:
    """What is claimed is what is found, in a file that only its owner can read."""
    registry, entry = Registry(home), entry_of("alpha")
    registry.claim(entry)
    assert (entry, (entry,), True) == (registry.find("alpha"), registry.entries(), entry.alive())
    assert 0o600 == stat.S_IMODE((home / "devnets" / "alpha.json").stat().st_mode)
    assert "secret" not in repr(entry)


def test_one_of_many_claims_wins(home: Path) -> None:
    """Of claims for one name at once exactly one succeeds; the others name the way out. No temporary file stays."""

    def claim(number: int) -> str:
        try:
            Registry(home).claim(entry_of("alpha", f"run-{number}"))
        except NameTakenError as exc:
            return exc.hint
        return "won"

    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(claim, range(40)))
    assert 1 == results.count("won")
    assert [] == [
        hint for hint in results if hint != "won" and not ("--name" in hint and "down alpha" in hint)
    ]
    assert {".lock", "alpha.json"} == {path.name for path in (home / "devnets").iterdir()}


def test_one_of_many_processes_wins(home: Path) -> None:
    """The same between processes, started at once, which hold on until all have tried."""
    program = (
        "import sys, os\n"
        "from pathlib import Path\n"
        "from orchestrator.registry import *\n"
        "from orchestrator.runtimes.orphans import ProcessId\n"
        "from orchestrator.runtimes.errors import NameTakenError\n"
        "me = ProcessId.of(os.getpid())\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "try:\n"
        "    Registry(Path(sys.argv[1])).claim(DevnetEntry('alpha', f'run-{me.pid}', '/r', me, Control(1, 't')))\n"
        "    print('won', flush=True)\n"
        "except NameTakenError as exc:\n"
        "    print('lost', flush=True)\n"
        "sys.stdin.readline()\n"
    )
    argv = [sys.executable, "-c", program, str(home)]
    rivals = [
        subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        for _ in range(6)
    ]
    for expected in ("ready", None):
        answers = []
        for rival in rivals:
            assert rival.stdout is not None
            answers.append(rival.stdout.readline().strip())
        if expected:
            assert ["ready"] * 6 == answers
        for rival in rivals:
            assert rival.stdin is not None
            rival.stdin.write("\n")
    for rival in rivals:
        rival.communicate()
    assert ["lost"] * 5 + ["won"] == sorted(answers)


def test_names_of_the_dead_are_free(home: Path, sleeper: Sleeper) -> None:
    """A claim takes over a name whose supervisor is gone, and first ends what that devnet left."""
    registry = Registry(home)
    dead = dead_process()
    left = sleeper("run-old", dead.text())
    registry.claim(entry_of("alpha", "run-old", dead))
    fresh = entry_of("alpha", "run-new")
    registry.claim(fresh)
    assert (fresh, True) == (registry.find("alpha"), ended(left))


def test_only_the_own_run_updates_and_releases(home: Path) -> None:
    """An old run can neither overwrite nor remove the entry of the next one with its name."""
    registry = Registry(home)
    old, new = entry_of("alpha", "run-old"), entry_of("alpha", "run-new")
    registry.claim(old)
    registry.update(replace(old, ports=(9,)))
    assert replace(old, ports=(9,)) == registry.find("alpha")
    registry.release(old)
    registry.release(old)
    assert registry.find("alpha") is None
    registry.claim(new)
    registry.release(old)
    with pytest.raises(DevnetGoneError):
        registry.update(old)
    assert new == registry.find("alpha")


@pytest.mark.parametrize("name", ["", "../alpha", "a/b", ".hidden", "a.json", "a\n"])
def test_malformed_names_are_refused(home: Path, name: str) -> None:
    """A name can't leave its folder."""
    with pytest.raises(PlanError, match="can't name a devnet"):
        Registry(home).claim(entry_of(name))


def test_a_reused_pid_is_another_process() -> None:
    """The same pid with another start time is not the same process; nor is one of another boot."""
    me = this_process()
    assert (True, False) == (me.alive(), replace(me, start_time=me.start_time - 1).alive())
    assert not replace(me, namespace="another-boot/pid:[1]").alive()
    assert me == ProcessId.parse(me.text())


def test_what_can_not_be_seen_counts_as_alive() -> None:
    """A supervisor in another pid namespace of the same boot can't be judged dead from here."""
    elsewhere = namespace().partition("/")[0] + "/pid:[1]"
    assert ProcessId(2**22, 1, elsewhere).alive()


def test_sweep_ends_what_dead_devnets_left(home: Path, sleeper: Sleeper) -> None:
    """Marked processes of a dead supervisor are ended, with an entry or without, and told; a second sweep is empty."""
    registry, dead = Registry(home), dead_process()
    registry.claim(entry_of("alpha", "run-1", dead))
    with_entry, without = sleeper("run-1", dead.text()), sleeper("run-2", dead.text())
    report = registry.sweep()
    assert (("alpha",), 2, True) == (report.devnets, len(report.processes), bool(report))
    assert (True, True) == (ended(with_entry), ended(without))
    assert ((), False) == (registry.entries(), bool(registry.sweep()))
    assert [] == left_behind("run-1")


def test_sweep_leaves_the_living_and_the_foreign_alone(home: Path, sleeper: Sleeper, tmp_path: Path) -> None:
    """Unmarked processes, those of living supervisors, other homes or unreadable owners are never touched."""
    registry, dead, me = Registry(home), dead_process(), this_process()
    registry.claim(entry_of("alpha", "run-1"))
    bystanders = [
        sleeper(),
        sleeper("run-1", me.text()),
        sleeper("run-unregistered", me.text()),
        sleeper("run-2", dead.text(), state_home=tmp_path / "another"),
        sleeper("run-3", "gibberish"),
    ]
    assert not registry.sweep()
    assert [False] * 5 == [ended(process) for process in bystanders]
    assert 1 == len(registry.entries())
    for process in bystanders:
        process.kill()
        process.wait()


def test_sweep_of_a_reused_pid_kills_nobody(home: Path, sleeper: Sleeper) -> None:
    """An entry whose supervisor's number now belongs to a stranger is removed, and the stranger lives."""
    registry, stranger = Registry(home), sleeper()
    identity = ProcessId.of(stranger.pid)
    assert identity is not None
    registry.claim(entry_of("alpha", "run-1", replace(identity, start_time=identity.start_time - 5)))
    assert ("alpha",) == registry.sweep().devnets
    assert not ended(stranger)


def test_sweep_removes_what_it_can_not_read(home: Path) -> None:
    """Broken files in the registry do not stop a sweep, a listing or a claim."""
    registry = Registry(home)
    registry.claim(entry_of("alpha"))
    for number, text in enumerate([b"", b"{", b"[]", b'{"name": "x"}', orjson.dumps({"supervisor": {}})]):
        (home / "devnets" / f"broken-{number}.json").write_bytes(text)
    assert 1 == len(registry.entries())
    registry.claim(entry_of("broken-0"))
    assert [f"broken-{number}.json" for number in range(1, 5)] == list(registry.sweep().unreadable)
    assert 2 == len(registry.entries())


def test_sweep_removes_what_was_being_written(home: Path) -> None:
    """Half-made files of killed processes go; not what may still be written, nor what has another name."""
    registry = Registry(home)
    registry.claim(entry_of("alpha"))
    runs = home / "runs" / "pair"
    runs.mkdir(parents=True)
    half = [home / "devnets" / ".alpha-0a1b2c3d", runs / ".latest-0a1b2c3d", home / ".seen-ab"]
    kept = [
        home / "devnets" / ".lock",
        home / "devnets" / ".hidden",
        runs / ".latest-ffffffff",
        home / ".seen-cd",
    ]
    half[0].write_text("{")
    half[1].symlink_to("nowhere")
    kept[2].symlink_to("nowhere")
    for path in (half[2], kept[1], kept[3]):
        path.touch()
    for path in half[1:]:
        os.utime(path, (1, 1), follow_symlinks=False)
    assert {str(path.relative_to(home)) for path in half} == set(registry.sweep().unfinished)
    assert [False] * 3 == [path.is_symlink() or path.exists() for path in half]
    assert [True] * 4 == [path.is_symlink() or path.exists() for path in kept]
    assert not registry.sweep()


def test_sweeping_one_name_leaves_the_others(home: Path) -> None:
    """A sweep of one name looks at nothing else."""
    registry, dead = Registry(home), dead_process()
    for name in ("alpha", "beta"):
        registry.claim(entry_of(name, f"run-{name}", dead))
    assert ("beta",) == registry.sweep("beta").devnets
    assert ["alpha"] == [entry.name for entry in registry.entries()]


def test_a_sweep_catches_up_with_forking(home: Path, sleeper: Sleeper) -> None:
    """A process that keeps having children in new sessions is ended with all of them."""
    dead = dead_process()
    marks = {RUN_MARK: "run-fork", HOME_MARK: str(home), OWNER_MARK: dead.text()}
    program = "while true; do setsid sleep 600 & sleep 0.001; done"
    process = subprocess.Popen(["sh", "-c", program], env={**os.environ, **marks}, start_new_session=True)
    time.sleep(0.1)
    report = Registry(home).sweep()
    assert process.wait(5) == -signal.SIGKILL
    assert (True, []) == (len(report.processes) > 2, left_behind("run-fork"))


def test_left_behind_tells_ports_too() -> None:
    """A listening port of a run that should be gone is reported."""
    program = "import socket, sys; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    port = int(process.stdout.readline())
    assert [f"port {port} is listened on"] == left_behind("no-such-run", [port])
    process.communicate()
    assert [] == left_behind("no-such-run", [port])


def test_nobody_ends_itself(home: Path) -> None:
    """A sweep run by a marked process leaves that process alone."""
    program = (
        "from orchestrator.runtimes.orphans import end_marked\n"
        "print(len(end_marked(lambda process: process.run_id == 'run-self')))"
    )
    env = {**os.environ, RUN_MARK: "run-self", HOME_MARK: str(home)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False
    )
    assert (0, "0") == (done.returncode, done.stdout.strip())
    assert [] == end_marked(lambda process: process.run_id == "run-self")
