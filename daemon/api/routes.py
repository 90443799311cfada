"""The rows of the one table: what a path takes and gives.

A `Route` is data. `dispatch` matches and checks requests by it, `openapi` describes it; a test calls every route and
holds what comes back against its description. A handler is given the surroundings and what was checked, nothing raw.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from daemon.api.kinds import Kind
from daemon.api.messages import Answer, Request, Stream
from daemon.api.surroundings import Surroundings


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter. many: may stand several times, and is then a tuple. default: where it is absent."""

    name: str
    kind: Kind
    words: str
    place: Literal["path", "query", "header"] = "query"
    default: Any = None
    many: bool = False
    many_max: int = 16


@dataclass(frozen=True, slots=True)
class Body:
    """What a request's body may be: content type -> JSON Schema, or a TypedDict of which pydantic makes one."""

    types: Mapping[str, Any]
    words: str


@dataclass(frozen=True, slots=True)
class Reply:
    """One good answer. schema: a TypedDict, a JSON Schema, or None where the content is not JSON."""

    words: str
    schema: Any = None
    content_type: str = "application/json"
    status: int = 200


@dataclass(frozen=True, slots=True)
class Given:
    """What a handler gets of a request: parameters by name, checked, and the request for its body."""

    request: Request
    parameters: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.parameters[name]


Handle = Callable[[Surroundings, Given], Awaitable[Answer | Stream]]


@dataclass(frozen=True, slots=True)
class Route:
    """One operation of the API.

    path: with `{name}` for parameters in it. name: the operation's id. tag: the chapter it stands in. words: a short
    line; more: the rest. problems: codes that it may answer with beyond those that every operation may.
    """

    method: Literal["GET", "POST"]
    path: str
    name: str
    tag: str
    words: str
    handle: Handle
    replies: tuple[Reply, ...]
    more: str = ""
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    problems: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    """Lines for a shell."""
