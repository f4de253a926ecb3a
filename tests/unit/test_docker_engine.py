"""What is said where an engine can't be used, and whose things on it are ours: no engine is needed."""

import http.server
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from docker.tls import TLSConfig

from orchestrator.leftovers import SweepReport
from orchestrator.registry import Control, DevnetEntry, Registry
from orchestrator.runtimes.docker import labels
from orchestrator.runtimes.docker.address import Address, leading_there
from orchestrator.runtimes.docker.errors import (
    AddressPoolError,
    DiskFullError,
    EngineError,
    EngineUnfitError,
    EngineUnreachableError,
    ImageError,
    NameConflictError,
    PortTakenError,
    from_answer,
)
from orchestrator.runtimes.docker.labels import Labelled
from orchestrator.runtimes.orphans import ProcessId

NOWHERE = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}
"""Leads to an engine that does not answer."""


@pytest.fixture
def old_engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An engine that speaks the API of 19.03, on loopback."""

    class Old(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = orjson.dumps({"ApiVersion": "1.40", "Version": "19.03", "ServerVersion": "19.03"})
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Old)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.server_port}")
    yield
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("host", "kind", "words"),
    [
        ("unix:///nowhere/docker.sock", EngineUnreachableError, ("/nowhere/docker.sock", "dockerd")),
        ("tcp://127.0.0.1:1", EngineUnreachableError, ("127.0.0.1:1", "--runtime process")),
        ("ssh://somebody@192.0.2.7", EngineUnfitError, ("over ssh", "ssh -NL", "somebody@192.0.2.7")),
    ],
)
def test_an_engine_out_of_reach(
    monkeypatch: pytest.MonkeyPatch, host: str, kind: type[EngineError], words: tuple[str, ...]
) -> None:
    """Nothing there, or an engine whose ports don't come with its words: the error names the place and what to do."""
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(kind) as caught:
        Address.find()
    assert all(word in str(caught.value) for word in words), caught.value


def test_a_context_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt context is an error, not another engine."""
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("DOCKER_CONTEXT", "nowhere-else")
    with pytest.raises(EngineUnreachableError, match="nowhere-else"):
        Address.find()


@pytest.mark.usefixtures("old_engine")
def test_an_engine_that_is_too_old() -> None:
    """An API older than that of 20.10 is refused, with the version that is needed."""
    with pytest.raises(EngineUnfitError, match=r"1\.40.*20\.10"):
        Address.find()


@pytest.mark.parametrize(
    ("explanation", "kind"),
    [
        ("write /var/lib/docker/tmp/x: no space left on device", DiskFullError),
        (
            "could not find an available, non-overlapping IPv4 address pool among the defaults",
            AddressPoolError,
        ),
        ("all predefined address pools have been fully subnetted", AddressPoolError),
        ("Bind for 127.0.0.1:8545 failed: port is already allocated", PortTakenError),
        ('Conflict. The container name "/x" is already in use by container "ab"', NameConflictError),
        ("network with name x already exists", NameConflictError),
        ("No such image: rollnet:ab", ImageError),
        ("something new", EngineError),
    ],
)
def test_refusals_say_what_to_do(explanation: str, kind: type[EngineError]) -> None:
    """The engine's own words are kept, and there is always a hint."""
    error = from_answer("start alpha", explanation)
    assert (kind, True, True) == (
        type(error),
        error.message == f"can't start alpha: {explanation}",
        bool(error.hint),
    )


def test_only_dead_runs_of_the_same_home_are_orphans(tmp_path: Path) -> None:
    """Nothing is an orphan whose supervisor lives, which belongs to another home, or whose labels are no labels of ours."""
    dead = ProcessId(1, 12345, ProcessId.of(1).namespace) if ProcessId.of(1) else None  # type: ignore[union-attr]
    assert dead is not None
    me = ProcessId.of(threading.get_native_id())

    def labelled(**marks: Any) -> Labelled:
        return Labelled("container", "id", "name", {f"rollnet.{key}": value for key, value in marks.items()})

    home = str(tmp_path)
    assert labelled(home=home, owner=dead.text()).orphaned(tmp_path)
    assert not labelled(home=f"{home}/other", owner=dead.text()).orphaned(tmp_path)
    assert not labelled(home=home, owner=me.text() if me else "").orphaned(tmp_path)
    assert not labelled(home=home, owner="nonsense").orphaned(tmp_path)
    assert not labelled().orphaned(tmp_path)
    assert {"rollnet.home", "rollnet.owner"} == {labels.HOME, labels.OWNER}


def test_containers_of_a_dead_run_wait_for_their_engine() -> None:
    """While the engine of a dead devnet does not answer, a sweep says so, and which it is, instead of forgetting it."""
    report = SweepReport().with_containers_of("condor", "run-1", NOWHERE)
    assert ((), True, True) == (report.containers, "condor" in report.unswept[0], bool(report))
    assert NOWHERE["DOCKER_HOST"] in report.unswept[0]


def test_a_name_is_free_again_before_its_engine_answers(tmp_path: Path) -> None:
    """A devnet takes the name of a dead one whose engine is gone; the dead one stays registered for a later sweep, under another."""
    me = ProcessId.of(os.getpid())
    assert me is not None
    dead = DevnetEntry(
        "condor",
        "20261121-abc",
        "/nowhere",
        replace(me, start_time=1),
        Control(1, ""),
        runtime="docker",
        engine=NOWHERE,
    )
    registry = Registry(tmp_path)
    registry.claim(dead)
    registry.claim(replace(dead, run_id="20261122-def", supervisor=me, runtime="process", engine={}))
    assert {"condor", "condor-abc"} == {entry.name for entry in registry.entries()}
    report = registry.sweep("condor-abc")
    assert ((), 1) == (report.devnets, len(report.unswept))
    kept = registry.find("condor-abc")
    assert kept is not None
    assert (dead.run_id, dead.engine) == (kept.run_id, kept.engine)


@pytest.mark.parametrize(
    ("given", "leads"),
    [
        ({"DOCKER_HOST": "tcp://127.0.0.1:5"}, {"DOCKER_HOST": "tcp://127.0.0.1:5"}),
        ({"DOCKER_CONTEXT": "default"}, {"DOCKER_HOST": "unix:///var/run/docker.sock"}),
    ],
)
def test_an_engine_is_found_again(given: dict[str, str], leads: dict[str, str]) -> None:
    """What leads to an engine says where it is, so that a context may mean another one later."""
    assert leads == leading_there(given, leads["DOCKER_HOST"], None)


def test_certificates_are_found_again(tmp_path: Path) -> None:
    """Of an engine with TLS, the folder of the certificates is named too, and whether to verify; where files are called otherwise, the context."""
    for name in ("ca.pem", "cert.pem", "key.pem", "other.pem"):
        (tmp_path / name).touch()
    pair = (str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"))
    usual = TLSConfig(pair, str(tmp_path / "ca.pem"), verify=True)
    expected = {"DOCKER_HOST": "https://h:1", "DOCKER_CERT_PATH": str(tmp_path), "DOCKER_TLS_VERIFY": "1"}
    assert expected == leading_there({"DOCKER_CONTEXT": "far"}, "https://h:1", usual)
    unusual = TLSConfig(pair, str(tmp_path / "other.pem"), verify=True)
    assert {"DOCKER_CONTEXT": "far"} == leading_there({"DOCKER_CONTEXT": "far"}, "https://h:1", unusual)


def test_things_of_other_machines_are_not_ours() -> None:
    """An engine may serve several machines whose runs are called alike: only what this one's supervisors made is ever touched."""
    marks = {labels.RUN: "run-1", labels.HOST: labels.this_host()}
    assert Labelled("volume", "id", "name", marks).of_this_host
    assert not Labelled("volume", "id", "name", {**marks, labels.HOST: "another"}).of_this_host
