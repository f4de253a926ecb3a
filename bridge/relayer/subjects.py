"""Of what a withdrawal's stages are told in the journal: of itself, or of what it carries."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from bridge.relayer.carried import Forward, Places, Return, Vote, carried
from bridge.relayer.withdrawal import Withdrawal

Subject: TypeAlias = Callable[[Withdrawal, int], dict[str, Any]]
"""From a withdrawal and the chain id of its rollup to the fields of a journal event that say what it is about."""
LegOf: TypeAlias = Callable[[str, int], int | None]
"""From a strategy's id and a rollup's chain id to the rollup's place among the participants; None if it isn't known."""


def itself(withdrawal: Withdrawal, chain_id: int) -> dict[str, Any]:  # noqa: ARG001 - see Subject
    """The subject of a withdrawal that carries nothing."""
    return {"msg_id": withdrawal.hash}


def of_carried(places: Mapping[int, Places], leg_of: LegOf) -> Subject:
    """Subjects of withdrawals that may carry something.

    A message's withdrawal is told of under the message's hash, a vote's under its strategy's id.

    Args:
        places: by the rollup's chain id.
        leg_of: finds a rollup's place in a strategy.
    """

    def subject(withdrawal: Withdrawal, chain_id: int) -> dict[str, Any]:
        match carried(withdrawal, places[chain_id]):
            case Forward(envelope):
                return {"msg_id": envelope.hash, "withdrawal": withdrawal.hash}
            case Return(header, _):
                return {"msg_id": withdrawal.hash, "returns": header.hash}
            case Vote(strategy, yes, _):
                leg = leg_of(strategy, chain_id)
                return {"msg_id": withdrawal.hash, "bundle_id": strategy, "leg": leg, "vote": yes}
        return {"msg_id": withdrawal.hash}

    return subject
