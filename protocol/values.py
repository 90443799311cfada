"""Values: frozen classes that cost little to make.

A frozen dataclass sets each of its fields by a call from Python, one to two microseconds for six of them; a node makes
a dozen values for each transaction. `@frozen` is written and used like `@dataclass(frozen=True, slots=True)`, and is a
struct of msgspec, filled in C. It answers to the functions of `dataclasses` (`fields`, `replace`, `asdict`) as well.

Nothing is checked when a value is made: what comes from outside is a record (`codec`). Deliberately absent: mutable
classes, `__post_init__`, inheritance.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, dataclass
from typing import Any, Final, TypeVar, dataclass_transform

import msgspec

T = TypeVar("T")
NOT_COPIED: Final = frozenset({"__dict__", "__weakref__", "__annotations__", "__annotate__", "__annotate_func__"})
"""What a class body leaves behind that a class made anew from it gets by itself."""


@dataclass_transform(frozen_default=True, kw_only_default=False)
def frozen(cls: type[T]) -> type[T]:
    """Make a class of annotated fields a frozen value."""
    own = {name: content for name, content in vars(cls).items() if name not in NOT_COPIED}
    annotations = cls.__annotations__
    fields = fields_of(cls)
    own["__annotations__"] = dict.fromkeys(fields, Any)
    for name, field in fields.items():
        if field.default_factory is not MISSING:
            own[name] = msgspec.field(default_factory=field.default_factory)
    made: Any = msgspec.StructMeta(cls.__name__, (msgspec.Struct,), own, frozen=True)
    made.__annotations__ = annotations
    answer_as_dataclass(made, fields)
    return made  # type: ignore[no-any-return]


def fields_of(cls: type[Any]) -> dict[str, Field[Any]]:
    """The fields of a class that is written like a dataclass, those of the one that it extends among them.

    What `dataclass` would write and compile for a frozen class is a third of what loading this program takes, and is
    thrown away: so the class is not made frozen where that can be seen nowhere.
    """
    extends = any("__dataclass_params__" in vars(base) for base in cls.__mro__[1:])
    like: Any = dataclass(init=False, repr=False, eq=False, match_args=False, frozen=extends)(cls)
    fields: dict[str, Field[Any]] = like.__dataclass_fields__
    return fields


def answer_as_dataclass(made: Any, fields: dict[str, Field[Any]]) -> None:
    """Let a struct answer to the functions of `dataclasses` as a frozen one."""
    made.__dataclass_fields__ = fields
    made.__dataclass_params__ = _FROZEN_PARAMS


@dataclass(init=False, repr=False, eq=False, match_args=False, frozen=True)
class _Frozen:
    """Has the parameters that all of these classes state."""


_FROZEN_PARAMS: Final[Any] = vars(_Frozen)["__dataclass_params__"]
