"""The scene of attacks on the bridge, once for each file of tests."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from orchestrator.settlement.testing_accounting import ether, tokens
from orchestrator.settlement.testing_lane import Lane
from orchestrator.settlement.testing_scene import Scene, scene_of_attack


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    """One scene for all tests of a file; each leaves it as it was."""
    async with scene_of_attack(tmp_path_factory.mktemp("scene")) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def scene(stage: Scene) -> AsyncIterator[Scene]:
    """The scene; whatever a test did in it, every wei and every unit of the token is accounted for."""
    async with stage.bridge.undone():
        yield stage
        for rollup in (stage.alpha, stage.beta):
            assert 0 == (await ether(stage.bridge, rollup)).surplus
        found = await tokens(stage.bridge, stage.alpha, stage.token)
        assert (0, found.booked) == (found.surplus, found.held)


@pytest.fixture(params=[True, False], ids=["to-l1", "to-l2"])
def lane(scene: Scene, request: pytest.FixtureRequest) -> Lane:
    """Both directions, one after the other."""
    return Lane(scene, request.param)
