"""What a scenario expects is judged by somebody, or it is refused before anything is started."""

import pytest

from orchestrator.chaos.ground import Ground
from orchestrator.chaos.run_rules import broken_expectations
from orchestrator.chaos.spec import ExpectSpec, LoadSpec
from orchestrator.market.testing import example_plan

GROUND = Ground.of(example_plan(("alpha", "beta"), users=12))


def wrong(**expected: object) -> list[str]:
    """The places of what is wrong with expectations."""
    found = broken_expectations(LoadSpec(), ExpectSpec.model_validate(expected), GROUND)
    return [".".join(map(str, one.path)) for one in found]


@pytest.mark.parametrize(
    ("expected", "places"),
    [
        ({"recovery": {"first_commit_within": "3s"}}, []),
        ({"invariants": ("order",)}, []),
        ({"invariants": ("order",), "recovery": {"backlog_drained_within": "3s"}}, []),
        (
            {"invariants": ("order",), "recovery": {"first_commit_within": "3s"}},
            ["expect.recovery.first_commit_within"],
        ),
        ({"invariants": ("recovery",), "recovery": {"first_commit_within": "3s"}}, []),
        (
            {"invariants": ("recovery",), "blast_radius": ("alpha",), "silence": "2s"},
            ["expect.blast_radius", "expect.silence"],
        ),
        ({"invariants": ("blast radius",), "blast_radius": ("alpha", "relayer", "l1")}, []),
        ({"blast_radius": ("alpha", "maker")}, ["expect.blast_radius.1"]),
    ],
)
def test_a_promise_that_nobody_would_look_at_is_refused(
    expected: dict[str, object], places: list[str]
) -> None:
    """A budget whose checker is not asked, a bystander at which nobody looks: each is named with its place."""
    assert places == wrong(**expected)
