"""Reading a configuration file: from bytes to a checked model, or every problem with its line.

The bytes are bounded, then UTF-8, then TOML, then the model. The standard parser stops at the first thing that is not
TOML, so there is one such problem at a time; all others come together. When nothing but unknown keys is wrong, the
rest is read all the same, so that what a later check finds is told in the same breath.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path as File
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from daemon.config.places import Path, places
from daemon.config.problems import ConfigurationFault, Problem, Source, translate

FILE_BYTES_MAX: Final = 4 * 1024 * 1024
"""A network file of 1,024 members and as many observers has less than one."""

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Read(Generic[M]):
    """A file that has the form of its model. `problems` holds unknown keys: who reads on must not pass over them."""

    source: Source
    value: M
    problems: tuple[Problem, ...] = ()


def read_text(file: File) -> str:
    """The file's text. Raises ConfigurationFault."""
    try:
        with file.open("rb") as stream:
            data = stream.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        words = (error.strerror or str(error)).lower()
        raise ConfigurationFault([Problem(str(file), 0, 0, "", "a file that can be read", words)]) from None
    if len(data) > FILE_BYTES_MAX:
        raise ConfigurationFault([Problem(str(file), 0, 0, "", f"at most {FILE_BYTES_MAX} bytes", "more")])
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        found = f"the byte 0x{data[error.start]:02x}"
        raise ConfigurationFault([Problem(str(file), line, column, "", "text in UTF-8", found)]) from None


def read_tables(file: File, text: str) -> dict[str, Any]:
    """The file's content as the standard parser reads it. Raises ConfigurationFault with the place that is not TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        words, _, where = str(error).partition(" (at ")
        numbers = re.match(r"line (\d+), column (\d+)", where)
        line, column = (int(numbers[1]), int(numbers[2])) if numbers else (text.count("\n") + 1, 1)
        found = words[:1].lower() + words[1:]
        raise ConfigurationFault([Problem(str(file), line, column, "", "TOML", found)]) from None


def read(file: File, model: type[M]) -> Read[M]:
    """The file as its model has it. Raises ConfigurationFault with all that is wrong with its form."""
    return parse(file, read_text(file), model)


def parse(file: File, text: str, model: type[M]) -> Read[M]:
    """The same for a text that was read already; `file` is what messages call it."""
    content = _frozen(read_tables(file, text))
    source = Source(file, places(text.replace("\r\n", "\n")), model)
    try:
        return Read(source, model.model_validate(content))
    except ValidationError as error:
        problems = translate(source, error)
        unknown = [details["loc"] for details in error.errors() if details["type"] == "extra_forbidden"]
        if len(unknown) < len(problems):
            raise ConfigurationFault(problems) from None
    for path in unknown:
        _remove(content, path)
    return Read(source, model.model_validate(content), tuple(problems))


def _frozen(value: Any) -> Any:
    """Arrays as tuples, since models hold tuples and convert nothing."""
    if isinstance(value, dict):
        return {key: _frozen(item) for key, item in value.items()}
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _remove(content: Any, path: Path) -> None:
    for part in path[:-1]:
        content = content[part]
    content.pop(path[-1], None)
