"""What all rings of tests share: a hypothesis profile, and devnets that leave nothing behind.

::

    topology_file ─► module_home ─► (a module's own devnet) ─► tests ─► no process left, directory kept if a test failed
"""

import os
import platform
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from bridge.wire.keccak import from_hex, to_hex
from bridge.wire.signing import UnsignedTransaction, sign_transaction
from orchestrator.chains import ChainHandle
from orchestrator.cli.testing import Rollnet, Said, said, within
from orchestrator.devnet import Devnet
from orchestrator.runtimes.choice import VARIABLE
from orchestrator.runtimes.docker.testing import image_or_skip
from orchestrator.runtimes.orphans import marked_processes
from orchestrator.topology.plan import Account
from orchestrator.waiting import eventually

# Tests of containers ask for them; all others are of processes, whatever engine this machine has.
os.environ[VARIABLE] = "process"
# Real nodes and a shared machine make single examples slow for reasons that no test is about.
settings.register_profile("rollnet", deadline=None)
settings.load_profile("rollnet")

SINK = "0x" + "5e" * 20
"""An address that nobody uses."""
FEE = 100 * 10**9
"""Wei per gas; far above any base fee here."""
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return Path(__file__).parents[1]


@pytest.fixture(scope="session")
def image() -> str:
    """Name of the Docker image of this checkout, built if need be; skips, visibly, without an engine."""
    return image_or_skip()


@pytest.fixture(scope="session")
def topology_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes a topology: ``topology_file("trio", rollups=("alpha", …), extra="market: …")``."""

    def write(name: str, rollups: tuple[str, ...] = ("alpha", "beta"), extra: str = "", **per: str) -> Path:
        lines = [f"  {rollup}: {per.get(rollup, '{engine: evm}')}" for rollup in rollups]
        path = tmp_path_factory.mktemp("topology") / f"{name}.yaml"
        path.write_text("\n".join([f"name: {name}", "rollups:", *lines, extra, ""]))
        return path

    return write


@pytest.fixture(scope="module")
def module_home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """State home of the devnets of one test module; kept when a test of the module failed."""
    home = tmp_path_factory.mktemp("rollnet")
    failed_before = request.session.testsfailed
    yield home
    left = [str(process) for process in marked_processes() if process.home == str(home)]
    if left or request.session.testsfailed > failed_before:
        print(f"run directories kept in {home}")  # noqa: T201 - pytest shows it beside the failure
    else:
        shutil.rmtree(home, ignore_errors=True)
    assert [] == left


@pytest.fixture(scope="module")
def launched(module_home: Path) -> Callable[..., AbstractAsyncContextManager[Devnet]]:
    """Launches a devnet for a module's own fixture; whatever happens, no process of it outlives the block."""

    @asynccontextmanager
    async def launch(
        topology: Path, name: str | None = None, *, chaos: bool = False
    ) -> AsyncIterator[Devnet]:
        async with Devnet.launch(topology, name=name, state=module_home, chaos=chaos) as net:
            print(f"seed {net.plan.seed}, run directory {net.directory.path}")  # noqa: T201 - as above
            yield net

    return launch


@pytest.fixture(scope="module")
def rollnet(module_home: Path, repository: Path) -> Rollnet:
    """Runs one command to its end beside the module's devnets, given its arguments; a traceback fails the test."""

    async def run(*arguments: str) -> Said:
        return await said(module_home, repository, *arguments)

    return run


@pytest.fixture(scope="module")
def inside(module_home: Path) -> Rollnet:
    """Runs one command that waits for nothing beside the module's devnets, within this process; a traceback fails the test."""

    async def run(*arguments: str) -> Said:
        return await within(module_home, *arguments)

    return run


@pytest.fixture(scope="session")
def signed() -> Callable[..., str]:
    """Signs transactions; the call gives raw hex, such as ``signed(account, chain, nonce, value=1)``."""

    def sign(
        account: Account,
        chain: ChainHandle,
        nonce: int,
        *,
        to: str = SINK,
        value: int = 0,
        data: bytes = b"",
        gas: int = 100_000,
        max_fee: int = FEE,
        chain_id: int | None = None,
    ) -> str:
        unsigned = UnsignedTransaction(
            chain_id=chain.chain_id if chain_id is None else chain_id,
            nonce=nonce,
            max_fee=max_fee,
            priority_fee=min(10**9, max_fee),
            gas=gas,
            to=from_hex(to),
            value=value,
            data=data,
        )
        return to_hex(sign_transaction(unsigned, account.private_key))

    return sign


@pytest.fixture(scope="session")
def receipt_of() -> Callable[..., Awaitable[Mapping[str, Any]]]:
    """Waits for receipts, given a chain and a transaction hash."""

    async def wait(chain: ChainHandle, digest: str, within_s: float = 15.0) -> Mapping[str, Any]:
        found: list[Mapping[str, Any]] = []

        async def there() -> bool:
            receipt = await chain.receipt(digest)
            found.extend([receipt] if receipt is not None else [])
            return receipt is not None

        await eventually(there, within_s, f"the receipt of {digest} on {chain.name}", every_s=0.02)
        return found[0]

    return wait


@pytest.fixture(scope="session")
def cast(repository: Path) -> str:
    """Path of Foundry's native ``cast``."""
    machine = ARCHITECTURES.get(platform.machine(), platform.machine())
    system = "win32" if sys.platform == "win32" else platform.system().lower()
    found = repository / "node_modules" / "@foundry-rs" / f"cast-{system}-{machine}" / "bin" / "cast"
    if not os.access(found, os.X_OK):
        pytest.skip("cast is not installed: npm ci")
    return str(found)


@pytest.fixture(scope="session")
def node(repository: Path) -> str:
    """Path of Node.js, with viem beside the tests."""
    found = shutil.which("node")
    if found is None or not (repository / "node_modules" / "viem").is_dir():
        pytest.skip("node and viem are not installed: npm ci")
    return found
