"""Whatever users, feed and L1 send, the invariants hold after every block; and each of them is there because a mutant breaks it.

One floor for both: rules that hypothesis drives, and a seeded crowd that hunts mutants. Every block of one transaction is also compared
with the same block in which that transaction does nothing, if it was refused (I6); executed twice from the same state (staging); and the
whole history is replayed in a fresh world (I7).
"""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from rollup_node.engines.options.transition.testing_floor import USERS, Floor, crowd
from rollup_node.engines.options.transition.testing_invariants import violations

users = st.sampled_from(USERS)
quantities = st.integers(-30, 30).filter(bool).map(lambda n: n * 1_000)
steps = st.integers(0, 3)


class Trading(RuleBasedStateMachine):
    """Hypothesis on the floor."""

    def __init__(self) -> None:
        super().__init__()
        self.floor: Floor | None = None

    @property
    def on(self) -> Floor:
        """The floor, once it is open."""
        assert self.floor is not None
        return self.floor

    @initialize()
    def begin(self) -> None:
        """Open."""
        self.floor = Floor()

    @rule(user=users, series=steps, off=st.integers(-2_000, 2_000), quantity=quantities, tif=st.integers(0, 3), reduce=st.booleans(), own=st.integers(0, 3))  # fmt: skip
    def place(
        self, user: str, series: int, off: int, quantity: int, tif: int, reduce: bool, own: int
    ) -> None:
        """See :meth:`Floor.place`."""
        how = {"time_in_force": tif, "reduce_only": reduce, "self_trade": own}
        self.on.place(user, series, off, quantity, **how)

    @rule(moves=st.lists(st.tuples(users, steps, st.integers(-400, 400), quantities), min_size=2, max_size=8))
    def market(self, moves: list[tuple[str, int, int, int]]) -> None:
        """See :meth:`Floor.market`."""
        self.on.market(moves)

    @rule(user=users, place=st.integers(0, 9))
    def cancel(self, user: str, place: int) -> None:
        """See :meth:`Floor.cancel`."""
        self.on.cancel(user, place)

    @rule(change=st.integers(-400, 400), volatility=st.integers(20, 200))
    def feed(self, change: int, volatility: int) -> None:
        """See :meth:`Floor.feed`."""
        self.on.feed(change, volatility)

    @rule(user=users, other=users, amount=st.integers(0, 2 * 10**9), how=st.sampled_from(["deposit", "withdraw", "transfer", "steal"]))  # fmt: skip
    def cash(self, user: str, other: str, amount: int, how: str) -> None:
        """See :meth:`Floor.cash`."""
        self.on.cash(user, other, amount, how)

    @rule(user=users, nonce=st.integers(0, 20), quantity=st.integers(0, 10**9))
    def actions(self, user: str, nonce: int, quantity: int) -> None:
        """See :meth:`Floor.actions`."""
        self.on.actions(user, nonce, quantity)
        self.on.action(user, nonce + 1, quantity)

    @rule(maker=users, taker=users, series=steps, quantity=quantities, nonce=st.integers(1, 30))
    def quote(self, maker: str, taker: str, series: int, quantity: int, nonce: int) -> None:
        """See :meth:`Floor.quote`."""
        self.on.quote(maker, taker, series, quantity, nonce)

    @rule(user=users, series=steps, quantity=quantities)
    def amm(self, user: str, series: int, quantity: int) -> None:
        """See :meth:`Floor.amm`."""
        self.on.amm(user, series, quantity)

    @rule(sure=st.integers(0, 4))
    def expire(self, sure: int) -> None:
        """Now and then; see :meth:`Floor.expire`."""
        if not sure:
            self.on.expire()

    @invariant()
    def holds(self) -> None:
        """Between moves too."""
        if self.floor is not None:
            assert [] == violations(self.floor.world)

    def teardown(self) -> None:
        """Replay all of it."""
        if self.floor is not None:
            self.floor.replay()


with_checks = settings(
    max_examples=8, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
TestTrading = Trading.TestCase
TestTrading.settings = with_checks


def test_a_crowd_meets_all_there_is() -> None:
    """What the mutants below are hunted with does trade, is refused for many reasons, is liquidated, and settles."""
    floors = [crowd(seed, 60) for seed in (1, 3)]
    met = {status for floor in floors for status in floor.statuses}
    assert {"success", "InsufficientMargin", "AccountFrozen", "NonceUsed", "UnknownOrder"} <= met
    assert all(floor.filled for floor in floors)
    assert all(series.status == 2 for floor in floors for series in floor.world.series.values())


@pytest.mark.long  # the ring of every day has a part of it
@pytest.mark.parametrize("seed", range(10, 20))
def test_crowds_find_nothing(seed: int) -> None:
    """Three hundred moves each, of twenty crowds."""
    crowd(seed, 300)
