"""Writing a configuration file from its model: every key with its description as a comment, defaults shown as comments.

The same writer makes the files of a new network and the samples in configs/, so a sample cannot say what the program
does not do. What a model's value was given stands as a key; what is left at its default stands as `# key = value`, so
that a file shows all that can be set. Of an array of tables the comments stand at the first table only.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from daemon.config.problems import inner_model

WIDTH: Final = 112
INLINE_CHARACTERS_MAX: Final = 100


def to_toml(value: BaseModel, *, comments: bool = True) -> str:
    """The text of a file with this content; reading it gives an equal value."""
    heading = [*_comment(type(value).__doc__ or ""), ""] if comments else []
    return "\n".join([*heading, *_table(value, (), comments=comments)]).rstrip() + "\n"


def _table(value: BaseModel, path: tuple[str, ...], *, comments: bool) -> Iterator[str]:
    """Plain keys first, then tables below: TOML wants it so."""
    fields = type(value).model_fields
    tables = {name for name, info in fields.items() if inner_model(info.annotation) is not None}
    plain = value.model_dump(mode="python", exclude=tables)
    for name, info in fields.items():
        if name not in tables:
            yield from _pair(name, plain[name], info, is_set=name in value.model_fields_set, comments=comments)
    for name in fields:
        if name in tables:
            yield from _below(name, getattr(value, name), fields[name], path, comments=comments)


def _pair(name: str, value: Any, info: FieldInfo, *, is_set: bool, comments: bool) -> Iterator[str]:
    if comments:
        yield from _comment(info.description or "")
    is_default = not is_set or value is None
    if not is_default:
        yield f"{name} = {scalar(value)}"
    elif comments and value is not None:
        yield f"# {name} = {scalar(value)}".replace("\n", "\n# ")
    elif comments:
        yield f"# {name} ="


def _below(name: str, value: Any, info: FieldInfo, path: tuple[str, ...], *, comments: bool) -> Iterator[str]:
    inner = (*path, name)
    header = ".".join(inner)
    if isinstance(value, BaseModel):
        yield ""
        if comments:
            yield from _comment(info.description or "")
        yield f"[{header}]"
        yield from _table(value, inner, comments=comments)
        return
    for index, item in enumerate(value or ()):
        yield ""
        if comments and index == 0:
            yield from _comment(info.description or "")
        yield f"[[{header}]]"
        yield from _table(item, inner, comments=comments and index == 0)
    if not value and comments:
        yield ""
        yield from _comment(info.description or "")
        yield f"# [{header}]" if value is None else f"# [[{header}]]"  # one table, or an array of them
        model = inner_model(info.annotation)
        assert model is not None
        for key, field in model.model_fields.items():
            yield from _comment(field.description or "")
            yield f"# {key} ="


def _comment(words: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(" ".join(words.split()), WIDTH)]


def scalar(value: Any) -> str:
    """A value that is no table, as TOML writes it. Texts are escaped as in JSON, which is a subset."""
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case datetime():
            return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case tuple() | list():
            items = [scalar(item) for item in value]
            inline = f"[{', '.join(items)}]"
            lines = "".join(f"    {item},\n" for item in items)
            return inline if len(inline) <= INLINE_CHARACTERS_MAX else f"[\n{lines}]"
    raise AssertionError(f"a {type(value).__name__} has no text")
