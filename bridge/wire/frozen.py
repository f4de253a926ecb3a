"""Frozen dataclasses that are made many times for each transaction, at the price of ordinary ones.

The problem: the constructor of a frozen dataclass calls ``object.__setattr__`` for every field, and takes four times as long as one that
assigns; a trade makes half a dozen of them anew, which was a tenth of all its time. The choice: a twin of the class that has the same
slots and isn't frozen; the constructor lets the new object be one of the twin's, assigns, and gives it back. Whoever holds an object
holds a frozen one. Rejected: named tuples (they equal other tuples, and ``dataclasses.replace`` doesn't take them).
"""

from dataclasses import MISSING, fields
from typing import Any, TypeVar

T = TypeVar("T")


def quickly_made(cls: type[T]) -> type[T]:
    """Give a frozen dataclass with slots a faster constructor; it means the same.

    Args:
        cls: without ``__post_init__``, with no defaults but plain values, and without subclasses.

    Raises:
        TypeError: it does more when it is made.
    """
    members = fields(cls)  # type: ignore[arg-type]
    plain = all(one.init and one.default_factory is MISSING for one in members)
    if not plain or hasattr(cls, "__post_init__"):
        raise TypeError(f"{cls.__name__} isn't made by assigning values alone")
    names = [one.name for one in members]
    defaults = {one.name: one.default for one in members if one.default is not MISSING}
    known: dict[str, Any] = {
        "frozen": cls,
        "twin": type(cls.__name__, (), {"__slots__": tuple(names)}),
        "become": object.__setattr__,
        "defaults": defaults,
    }
    given = ", ".join(f"{name}=defaults[{name!r}]" if name in defaults else name for name in names)
    lines = [f"    self.{name} = {name}" for name in names]
    source = "\n".join(
        [
            f"def __init__(self, {given}):",
            "    become(self, '__class__', twin)",
            *lines,
            "    self.__class__ = frozen",
        ]
    )
    exec(source, known)  # noqa: S102 - as dataclasses make theirs; nothing from outside is in it
    made = known["__init__"]
    made.__qualname__ = f"{cls.__qualname__}.__init__"
    made.__doc__ = cls.__init__.__doc__
    made.__annotations__ = cls.__init__.__annotations__
    cls.__init__ = made  # type: ignore[method-assign]
    return cls
