"""From a request to its answer: find the row of the table, check what is given by it, call the handler.

Whatever a client sends ends in an answer of its own: parameters that the row does not have, twice what it has once,
another content type, an empty path segment. What is our fault is logged and answered with 500, except a broken
invariant and a failed disk, which end the node (they are raised).

`HEAD` is answered as `GET` (the connection leaves the body out), `OPTIONS` with the methods of the path.

Cross-origin requests of browsers are answered with the usual headers for the origins that the operator named, and for
no other: by default none.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import structlog

from daemon.api.messages import Answer, Request, Stream
from daemon.api.problems import Problem, bad_request, problem
from daemon.api.routes import Given, Parameter, Route
from daemon.api.surroundings import Surroundings
from daemon.store.errors import SegmentDamaged, StoreFailed
from protocol.errors import (
    INTERNAL_ERROR,
    METHOD_NOT_ALLOWED,
    NO_SUCH_PATH,
    SEGMENT_DAMAGED,
    UNSUPPORTED_MEDIA_TYPE,
    BrokenInvariant,
    Refused,
)

_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SCHEME: Final = re.compile(r"https?://[^/?#]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Path:
    """One path of the table: its segments, None where a parameter stands, and its operations by method."""

    segments: tuple[str | None, ...]
    names: tuple[str, ...]
    routes: dict[str, Route]

    @property
    def allow(self) -> str:
        """For the header of that name."""
        return ", ".join([*self.routes, *(["HEAD"] if "GET" in self.routes else []), "OPTIONS"])


class Dispatcher:
    """The table at work."""

    def __init__(self, surroundings: Surroundings, table: Iterable[Route]) -> None:
        self._surroundings = surroundings
        self._fixed: dict[tuple[str, ...], _Path] = {}
        self._open: dict[tuple[str | None, ...], _Path] = {}
        self._log: Any = structlog.get_logger()
        for route in table:
            self._add(route)

    def _add(self, route: Route) -> None:
        parts = route.path.removeprefix("/").split("/")
        segments = tuple(None if part.startswith("{") else part for part in parts)
        names = tuple(part[1:-1] for part in parts if part.startswith("{"))
        declared = tuple(p.name for p in route.parameters if p.place == "path")
        assert names == declared, f"{route.path} declares {declared}"
        path = self._open.setdefault(segments, _Path(segments, names, {}))
        assert route.method not in path.routes, f"{route.method} {route.path} stands twice"
        assert path.names == names, f"{route.path}: one name for one parameter"
        path.routes[route.method] = route
        if not names:
            self._fixed[tuple(parts)] = path

    async def answer(self, request: Request) -> Answer | Stream:
        """The answer; raises BrokenInvariant and StoreFailed only."""
        began = time.perf_counter()
        counters = self._surroundings.counters
        name = ""
        try:
            path, texts, query = self._find(request.target)
            route = path.routes.get("GET" if request.method == "HEAD" else request.method)
            name = route.name if route is not None else ""
            answer = await self._call(request, path, route, texts, query)
        except (Problem, Refused, SegmentDamaged) as fault:
            answer = fault.answer() if isinstance(fault, Problem) else _refusal(fault)
            counters.problems[fault.code] += 1
        except (BrokenInvariant, StoreFailed):
            raise
        except Exception:  # noqa: BLE001 - our fault, told to the log and to the client; the node goes on
            self._log.error("api_failed", operation=name, exc_info=True)
            counters.problems[INTERNAL_ERROR] += 1
            answer = problem(INTERNAL_ERROR, "the node failed to answer; its log says why")
        counters.answered(name, answer.status, time.perf_counter() - began)
        return self._with_origin(request, answer)

    # -- Finding ------------------------------------------------------------------------------------

    def _find(self, target: str) -> tuple[_Path, tuple[str, ...], str]:
        """The path of the table, the texts of its parameters, and the query. Raises Problem."""
        target = _SCHEME.sub("", target, count=1) if target[:4].lower() == "http" else target
        path, _, query = target.partition("#")[0].partition("?")
        if path == "*":
            return _Path((), (), {}), (), ""
        if not path.startswith("/"):
            raise bad_request("a path begins with a slash")
        parts = tuple(path[1:].split("/"))
        fixed = self._fixed.get(parts)
        if fixed is not None:
            return fixed, (), query
        for found in self._open.values():
            if len(found.segments) == len(parts) and all(
                segment in (None, part) for segment, part in zip(found.segments, parts, strict=True)
            ):
                texts = [part for segment, part in zip(found.segments, parts, strict=True) if segment is None]
                return found, tuple(_decoded(text, "the path") for text in texts), query
        raise Problem(NO_SUCH_PATH, "there is no such path; /docs lists those that there are")

    async def _call(
        self, request: Request, path: _Path, route: Route | None, texts: tuple[str, ...], query: str
    ) -> Answer | Stream:
        if request.method == "OPTIONS":
            return self._options(request, path)
        if route is None:
            refusal = Problem(METHOD_NOT_ALLOWED, f"this path takes {path.allow}")
            refusal.headers = (("allow", path.allow),)
            raise refusal
        _check_body(request, route)
        given = _parameters(route, dict(zip(path.names, texts, strict=True)), query, request.headers)
        return await route.handle(self._surroundings, Given(request, given))

    # -- Browsers of other origins -------------------------------------------------------------------

    def _options(self, request: Request, path: _Path) -> Answer:
        headers = [("allow", path.allow or "GET, HEAD, POST, OPTIONS")]
        if "access-control-request-method" in request.headers and self._allows(request):
            headers += [
                ("access-control-allow-methods", path.allow),
                ("access-control-allow-headers", "content-type, last-event-id"),
                ("access-control-max-age", "600"),
            ]
        return Answer(204, headers=tuple(headers))

    def _allows(self, request: Request) -> bool:
        origins = self._surroundings.cors_origins
        return "*" in origins or request.headers.get("origin", "") in origins

    def _with_origin(self, request: Request, answer: Answer | Stream) -> Answer | Stream:
        if not self._surroundings.cors_origins or "origin" not in request.headers or not self._allows(request):
            return answer
        more = (
            ("access-control-allow-origin", request.headers["origin"]),
            ("access-control-expose-headers", "retry-after"),
            ("vary", "origin"),
        )
        return replace(answer, headers=answer.headers + more)


def _refusal(fault: Refused | SegmentDamaged) -> Answer:
    code = fault.code if isinstance(fault, Refused) else SEGMENT_DAMAGED
    return problem(code, fault.words)


def _check_body(request: Request, route: Route) -> None:
    if route.body is None:
        if request.body:
            raise bad_request("this operation takes no body")
    elif request.media_type not in route.body.types:
        taken = " or ".join(route.body.types)
        raise Problem(UNSUPPORTED_MEDIA_TYPE, f"the body is {taken}; say so in the header Content-Type")


def _parameters(route: Route, path: Mapping[str, str], query: str, headers: Mapping[str, str]) -> dict[str, Any]:
    """The values of all parameters of the row. Raises Problem for anything else that was given."""
    found = _query(query)
    given: dict[str, Any] = {}
    for parameter in route.parameters:
        if parameter.place == "path":
            given[parameter.name] = _value(parameter, path[parameter.name])
        elif parameter.place == "header":
            text = headers.get(parameter.name)
            given[parameter.name] = parameter.default if text is None else _value(parameter, text)
        else:
            given[parameter.name] = _from_query(parameter, found.pop(parameter.name, []))
    if found:
        known = ", ".join(p.name for p in route.parameters if p.place == "query") or "none"
        raise bad_request(f"unknown parameter {next(iter(found))[:64]!r}; known: {known}")
    return given


def _from_query(parameter: Parameter, texts: list[str]) -> Any:
    if parameter.many:
        if len(texts) > parameter.many_max:
            raise bad_request(f"{parameter.name}: at most {parameter.many_max} times")
        return tuple(_value(parameter, text) for text in texts)
    if len(texts) > 1:
        raise bad_request(f"{parameter.name}: once, not {len(texts)} times")
    return _value(parameter, texts[0]) if texts else parameter.default


def _value(parameter: Parameter, text: str) -> Any:
    try:
        return parameter.kind.parse(text)
    except ValueError as fault:
        raise bad_request(f"{parameter.name}: {fault}") from None


def _query(query: str) -> dict[str, list[str]]:
    """Values by name, in order."""
    found: dict[str, list[str]] = {}
    for pair in query.split("&") if query else ():
        name, _, text = pair.partition("=")
        name = _decoded(name.replace("+", " "), "the query")
        found.setdefault(name, []).append(_decoded(text.replace("+", " "), "the query"))
    return found


def _decoded(text: str, place: str) -> str:
    """Percent-decoded UTF-8 (RFC 3986, section 2). Raises Problem."""
    if not text.isascii() or _BAD_ESCAPE.search(text):
        raise bad_request(f"{place} is not percent-encoded as it should be")
    if "%" not in text:
        return text
    try:
        return unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError:
        raise bad_request(f"{place} is not UTF-8") from None
