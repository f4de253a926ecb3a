"""What every map of a file has in common, of topologies and of scenarios."""

from typing import Any

from pydantic import BaseModel, ConfigDict


def notes(**notes: str) -> dict[str, Any]:
    """What JSON Schema has no word for: ``unit``, and a ``default`` that depends on other fields."""
    return {f"x-{key}": note for key, note in notes.items()}


class Section(BaseModel):
    """A map of the file: frozen, strict about types, closed to unknown keys."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)
