"""Run directories are unique, complete and found again."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestrator.rundir import RunDirectory, cache, home


def test_runs_of_the_same_second_differ(tmp_path: Path) -> None:
    """Many runs made at once have directories and ids of their own, and ``latest`` is one of them, never broken."""
    with ThreadPoolExecutor(16) as pool:
        runs = list(pool.map(lambda _: RunDirectory.create(tmp_path, "condor", 7), range(50)))
    assert (50, 50) == (len({run.path for run in runs}), len({run.run_id for run in runs}))
    latest = tmp_path / "runs" / "condor" / "latest"
    assert latest.resolve() in {run.path for run in runs}
    assert 51 == len(list(latest.parent.iterdir()))
    assert not latest.readlink().is_absolute()


def test_latest_is_the_newest(tmp_path: Path) -> None:
    """Each new run takes over ``latest``."""
    for _ in range(3):
        run = RunDirectory.create(tmp_path, "condor", 7)
        assert run.path == (tmp_path / "runs" / "condor" / "latest").resolve()


def test_layout(tmp_path: Path) -> None:
    """The files are where the documentation says, and the folders that nodes write to exist."""
    run = RunDirectory.create(tmp_path, "condor", 7)
    files = [run.topology, run.plan, run.devnet, run.report, run.report_json]
    assert ["topology.yaml", "plan.json", "devnet.json", "report.md", "report.json"] == [
        path.name for path in files
    ]
    assert run.path.name.endswith("-seed7")
    expected = ["journal/alpha.jsonl", "logs/alpha.log", "data/alpha"]
    paths = [run.journal_of("alpha"), run.log_of("alpha"), run.data_of("alpha")]
    assert expected == [str(path.relative_to(run.path)) for path in paths]
    assert [True] * 3 == [path.parent.is_dir() for path in paths]


def test_reopened_runs_keep_their_id(tmp_path: Path) -> None:
    """A run opened by its path has the id that its processes were marked with."""
    run = RunDirectory.create(tmp_path, "condor", 7)
    assert run.run_id == RunDirectory(run.path).run_id


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"ROLLNET_HOME": "/a", "XDG_STATE_HOME": "/b"}, "/a"),
        ({"XDG_STATE_HOME": "/b"}, "/b/rollnet"),
        ({"XDG_STATE_HOME": "relative"}, "/user/.local/state/rollnet"),
        ({"ROLLNET_HOME": ""}, "/user/.local/state/rollnet"),
    ],
)
def test_home_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str
) -> None:
    """Our own variable first, then the XDG one if it is absolute, then its default."""
    for name in ("ROLLNET_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/user", **environment}.items():
        monkeypatch.setenv(name, value)
    assert Path(expected) == home()


def test_cache_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The XDG variable, else its default."""
    monkeypatch.setenv("HOME", "/user")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert Path("/user/.cache/rollnet") == cache()
    monkeypatch.setenv("XDG_CACHE_HOME", "/c")
    assert Path("/c/rollnet") == cache()
