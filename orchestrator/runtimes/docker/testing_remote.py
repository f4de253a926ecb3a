"""A second Docker engine that is another machine to us, for tests: its own network, files, processes and clock, on this kernel.

::

    this machine                         namespaces of network, mounts, processes and time
    veth 10.213.x.1 ── a wire ────────── 10.213.x.2: dockerd at tcp with TLS, iptables, containers; the state home of this one is empty there,
                                         CLOCK_MONOTONIC is an hour ahead

Everything belongs to one process: killing it ends every process in there, and with the last of them go mounts, rules and the wire.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker

from orchestrator.runtimes.docker.address import Address
from orchestrator.runtimes.docker.testing import footprint_of
from orchestrator.runtimes.ports import LOOPBACK

PORT = 2376
CLOCK_AHEAD_S = 3600
"""What is added to CLOCK_MONOTONIC there, where the kernel can do that."""
_PATIENCE_S = 30.0
_TOOLS = ("dockerd", "containerd", "unshare", "nsenter", "ip", "iptables", "mount", "openssl")
_NAMESPACES = ("unshare", "--net", "--mount", "--pid", "--fork")
_IMAGES_AT_ONCE = 1024 * 1024
_INNER = """
set -e
mount --make-rprivate /
until ip link show {there} >/dev/null 2>&1; do sleep 0.02; done
ip address add {address}/30 dev {there}
ip link set {there} up
ip link set lo up
mount -t tmpfs tmpfs /run
mkdir -p /run/engine/root
mount -t tmpfs -o size=2g tmpfs /run/engine/root
mount -t tmpfs tmpfs {hidden}
exec dockerd --data-root /run/engine/root --exec-root /run/engine/exec --pidfile /run/engine/pid \
  --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent /{name} --host tcp://{address}:{port} \
  --tlsverify --tlscacert {keys}/ca.pem --tlscert {keys}/server.pem --tlskey {keys}/server-key.pem
"""


class NoRemoteEngineError(Exception):
    """There can be none here, and why."""


@dataclass(frozen=True, slots=True)
class RemoteEngine:
    """An engine that runs on another machine, as far as this one can tell."""

    address: str
    """Its machine's, as this one reaches it."""
    ours: str
    """This machine's, as that one reaches it."""
    process: int
    """In whose namespaces it is."""
    clock_ahead_s: int
    keys: Path
    """Folder of the certificates with which it lets us in."""

    @property
    def host(self) -> str:
        """For ``$DOCKER_HOST``."""
        return f"tcp://{self.address}:{PORT}"

    @property
    def environment(self) -> Mapping[str, str]:
        """That leads to it."""
        return {"DOCKER_HOST": self.host, "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(self.keys)}

    def footprint(self) -> Mapping[str, frozenset[str]]:
        """Names of everything on it."""
        with self.client() as client:
            return footprint_of(client, {})

    def inside(self, *command: str) -> str:
        """Run a command on its machine, in its network."""
        argv = ["nsenter", "--target", str(self.process), "--net", *command]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout

    @contextlib.contextmanager
    def client(self) -> Iterator[Any]:
        """The SDK on it."""
        client = docker.APIClient(**Address.find(self.environment).arguments)
        try:
            yield client
        finally:
            client.close()

    def load(self, image: str) -> None:
        """Give it an image of this machine's engine."""
        ours = docker.APIClient()
        try:
            with self.client() as theirs:
                theirs.load_image(ours.get_image(image, chunk_size=_IMAGES_AT_ONCE))
        finally:
            ours.close()


@contextlib.contextmanager
def remote_engine(hidden: Path, folder: Path) -> Iterator[RemoteEngine]:
    """Start one, and leave nothing of it; its files are in memory, a few hundred megabytes with an image.

    Args:
        hidden: a folder of this machine that that one has not.
        folder: for its certificates, and for what it says.

    Raises:
        NoRemoteEngineError: this machine can't, and why.
    """
    _require_means()
    number = os.getpid() % 16_000
    name, here, there = f"rollnet-test-{number}", f"rlt{number}a", f"rlt{number}b"
    net = f"10.213.{number // 64}.{number % 64 * 4}"
    stem, _, last = net.rpartition(".")
    ours, address = f"{stem}.{int(last) + 1}", f"{stem}.{int(last) + 2}"
    _make_keys(folder, address)
    log = folder / "dockerd.log"
    script = _INNER.format(there=there, address=address, hidden=hidden, name=name, port=PORT, keys=folder)
    ahead = CLOCK_AHEAD_S if Path("/proc/self/ns/time").exists() else 0
    clock = ["--time", "--monotonic", str(ahead)] if ahead else []
    with log.open("wb") as said:
        process = subprocess.Popen(
            [*_NAMESPACES, "--kill-child", "--mount-proc", *clock, "sh", "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    try:
        inner = _eventually(lambda: _child_of(process), log, "its namespaces")
        _ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", str(inner))
        _ip("address", "add", f"{ours}/30", "dev", here)
        _ip("link", "set", here, "up")
        engine = RemoteEngine(address, ours, inner, ahead, folder)
        _eventually(lambda: _answers(engine, process), log, "its first answer")
        try:
            yield engine
        finally:
            _remove_containers(engine)
    finally:
        _end(process, log)
        with contextlib.suppress(subprocess.CalledProcessError):  # gone with its other end
            _ip("link", "delete", here)
        for tree in Path("/sys/fs/cgroup").glob(f"*/{name}"):
            _remove_cgroups(tree)
        _remove_cgroups(Path("/sys/fs/cgroup") / name)


def _require_means() -> None:
    if sys.platform != "linux" or os.geteuid() != 0:
        raise NoRemoteEngineError(
            "only root on Linux can start a second Docker engine in namespaces of its own"
        )
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = [tool for tool in _TOOLS if shutil.which(tool, path=path) is None]
    if missing:
        raise NoRemoteEngineError(
            f"a second Docker engine needs {', '.join(missing)}: sudo apt-get install docker.io iproute2 iptables openssl util-linux"
        )
    tried = subprocess.run(
        [*_NAMESPACES, "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
        check=False,
        capture_output=True,
        text=True,
    )
    if tried.returncode != 0:
        raise NoRemoteEngineError(f"no namespaces can be made here: {tried.stderr.strip()}")


def _make_keys(folder: Path, address: str) -> None:
    """An authority, and what server and client need to believe each other; the server also where a tunnel to it begins."""
    kinds = {
        "server": ("server.pem", "server-key.pem", f"subjectAltName=IP:{address},IP:{LOOPBACK}"),
        "client": ("cert.pem", "key.pem", "extendedKeyUsage=clientAuth"),
    }
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    _openssl(
        folder, "req", "-x509", *curve, "-keyout", "ca-key.pem", "-out", "ca.pem", "-subj", "/CN=authority"
    )
    for name, (certificate, key, extension) in kinds.items():
        issued = ("-CA", "ca.pem", "-CAkey", "ca-key.pem", "-addext", extension)
        _openssl(
            folder,
            "req",
            "-x509",
            *curve,
            *issued,
            "-keyout",
            key,
            "-out",
            certificate,
            "-subj",
            f"/CN={name}",
        )


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def _child_of(process: "subprocess.Popen[bytes]") -> int | None:
    if process.poll() is not None:
        raise AssertionError(f"unshare has ended with {process.returncode}")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(children[0]) if children else None


def _answers(engine: RemoteEngine, process: "subprocess.Popen[bytes]") -> bool:
    if process.poll() is not None:
        raise AssertionError(f"dockerd has ended with {process.returncode}")
    with contextlib.suppress(Exception), engine.client() as client:
        return bool(client.ping())
    return False


def _eventually(look: Callable[[], Any], log: Path, what: str) -> Any:
    deadline = time.monotonic() + _PATIENCE_S
    while not (found := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come within {_PATIENCE_S:g} s:\n{log.read_text()[-3000:]}")
        time.sleep(0.05)
    return found


def _remove_containers(engine: RemoteEngine) -> None:
    """So that nothing of them is left in the kernel, whatever a test has left."""
    with engine.client() as client:
        for container in client.containers(all=True):
            client.remove_container(container["Id"], force=True, v=True)


def _end(process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Kill it, and with it every process in its namespaces; asked politely, an engine would wait for shims that nobody reaps."""
    inner = None
    with contextlib.suppress(AssertionError):
        inner = _child_of(process)
    process.kill()
    process.wait()
    if inner is not None:
        _eventually(lambda: not Path(f"/proc/{inner}").exists(), log, "its end")


def _remove_cgroups(tree: Path) -> None:
    if tree.is_dir():
        for folder in sorted((path for path in tree.rglob("*") if path.is_dir()), reverse=True):
            folder.rmdir()
        tree.rmdir()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
