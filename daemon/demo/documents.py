"""EPCIS documents: read as they are, and assigned to members by their business steps.

An event of EPCIS says in which business step something was seen (`bizStep`: packing, shipping, ...). The table below
says which member is responsible for which step; a document belongs to the member of most of its events, the first of
them if several have as many. Steps come in several spellings (`shipping`, the GS1 web vocabulary, a URN, a prefix of
the document's own); what follows the last separator is the step's name. Documents whose steps the table does not name
go to one member, so that none is lost.

On the ledger a document is one digest of its bytes, as `sha256sum` prints it, with what its owner states about it.
One document is recorded a second time in another way: by salted digests of its fields (`evidence.salted`), so that
one field can be shown to somebody without the others. Fields are named by JSON Pointers (RFC 6901), and a value is its
JSON text.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from daemon.config.problems import ConfigurationFault, Problem
from protocol import limits
from protocol.apps.evidence.records import SALTED_FIELDS, SHA256, Statement

MEDIA_TYPE: Final = "application/ld+json"
STEPS: Final[Mapping[str, str]] = {
    "commissioning": "factory",
    "assembling": "factory",
    "disassembling": "factory",
    "installing": "factory",
    "packing": "factory",
    "shipping": "carrier",
    "transporting": "carrier",
    "receiving": "warehouse",
    "unpacking": "warehouse",
    "storing": "warehouse",
    "inspecting": "city",
    "sensor_reporting": "city",
}
"""Business step (GS1 Core Business Vocabulary) to the member who is responsible for it."""
OTHER_STEPS: Final = "city"
"""Who takes documents of steps that the table does not name, or without any."""
MEMBERS: Final = tuple(sorted({*STEPS.values(), OTHER_STEPS}))

_DISCLOSED: Final = (r"/sensorReport/\d+/value$", r"/bizStep$", r"")
"""Which field is disclosed: the first path that fits the first of these that any fits."""

_PATH_BYTES_MAX: Final = limits.FIELD_PATH_BYTES_MAX


@dataclass(frozen=True, slots=True)
class _Number:
    """A number as the document writes it: reading it as a float would change it."""

    text: str


@dataclass(frozen=True, slots=True)
class Document:
    """One document. data: its bytes. steps: of its events, in order. step: the one that assigned it, or "".

    reference: what it calls itself, else its file's name. event_time_ms: of its first event, if it can be read.
    """

    name: str
    data: bytes
    content: Any
    steps: tuple[str, ...]
    step: str
    member: str
    reference: str
    event_time_ms: int | None


def read_documents(directory: Path) -> tuple[Document, ...]:
    """All `*.json` files of a directory, by name. Raises ConfigurationFault with each that is no JSON object."""
    problems: list[Problem] = []
    documents: list[Document] = []
    files = sorted(directory.glob("*.json")) if directory.is_dir() else []
    for file in files:
        try:
            documents.append(read_document(file))
        except ConfigurationFault as fault:
            problems += fault.problems
    if problems:
        raise ConfigurationFault(problems)
    if not documents:
        raise ConfigurationFault([Problem(str(directory), 0, 0, "", "a directory with *.json documents", "none")])
    return tuple(documents)


def read_document(file: Path) -> Document:
    """One document. Raises ConfigurationFault."""
    try:
        data = file.read_bytes()
        content = json.loads(data, parse_float=_Number, parse_int=_Number)
    except OSError as fault:
        found = (fault.strerror or str(fault)).lower()
        raise ConfigurationFault([Problem(str(file), 0, 0, "", "a file that can be read", found)]) from fault
    except json.JSONDecodeError as fault:
        raise ConfigurationFault([Problem(str(file), fault.lineno, fault.colno, "", "JSON", fault.msg)]) from fault
    except (UnicodeDecodeError, RecursionError) as fault:
        raise ConfigurationFault([Problem(str(file), 0, 0, "", "JSON", str(fault))]) from fault
    if not isinstance(content, dict):
        raise ConfigurationFault([Problem(str(file), 1, 1, "", "a JSON object", type(content).__name__)])
    events = list(_events(content))
    steps = tuple(step_name(event["bizStep"]) for event in events if isinstance(event.get("bizStep"), str))
    step, member = assign(steps)
    reference = _text(content.get("id"), limits.REFERENCE_BYTES_MAX) or _cut(file.name, limits.REFERENCE_BYTES_MAX)
    time_ms = next((t for t in (_time_ms(event.get("eventTime")) for event in events) if t is not None), None)
    return Document(file.name, data, content, steps, _cut(step, limits.LABEL_BYTES_MAX), member, reference, time_ms)


def assign(steps: tuple[str, ...]) -> tuple[str, str]:
    """The step that decides, and the member whose document it is (see the essay)."""
    counted = Counter(STEPS[step] for step in steps if step in STEPS)
    if not counted:
        return (steps[0] if steps else ""), OTHER_STEPS
    member = counted.most_common(1)[0][0]  # of equals, the one met first
    return next(step for step in steps if STEPS.get(step) == member), member


def step_name(text: str) -> str:
    """The step that a spelling means: `https://ref.gs1.org/cbv/BizStep-shipping`, `urn:...:shipping` are shipping."""
    return re.split(r"[/:#]", text)[-1].removeprefix("BizStep-")


def statement_of(document: Document) -> Statement:
    """What its owner states: the digest of its bytes, and what is said about them."""
    digest = hashlib.sha256(document.data).digest()
    return _statement(document, SHA256, digest, len(document.data))


def salted_statement_of(document: Document, root: bytes, fields: int) -> Statement:
    """The same for the root of its salted fields, of which there are so many."""
    return _statement(document, SALTED_FIELDS, root, fields)


def _statement(document: Document, algorithm: int, digest: bytes, size: int) -> Statement:
    return Statement(
        algorithm=algorithm,
        digest=digest,
        size=size,
        media_type=MEDIA_TYPE,
        type=_text(document.content.get("type"), limits.LABEL_BYTES_MAX),
        step=document.step,
        reference=document.reference,
        event_time_ms=document.event_time_ms,
    )


def fields_of(document: Document) -> dict[str, bytes]:
    """The document cut into fields: JSON Pointer of each leaf to its JSON text; those past the bounds are left out."""
    found = {path: text.encode() for path, text in _leaves("", document.content) if _fits(path, _PATH_BYTES_MAX)}
    fitting = {path: value for path, value in found.items() if len(value) <= limits.FIELD_VALUE_BYTES_MAX}
    return dict(list(fitting.items())[: limits.FIELDS_MAX])


def disclosed_path(fields: Mapping[str, bytes]) -> str:
    """Which field is shown to somebody: a sensor's value if there is one, else a business step, else the first."""
    return next(path for pattern in _DISCLOSED for path in fields if re.search(pattern, path))


def _leaves(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(f"{path}/{key.replace('~', '~0').replace('/', '~1')}", inner)
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            yield from _leaves(f"{path}/{index}", inner)
    else:
        yield path, value.text if isinstance(value, _Number) else json.dumps(value, ensure_ascii=not _is_text(value))


def _events(content: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    body = content.get("epcisBody")
    listed = body.get("eventList", body.get("event")) if isinstance(body, dict) else None
    for event in listed if isinstance(listed, list) else [listed]:
        if isinstance(event, dict):
            yield event


def _time_ms(text: object) -> int | None:
    if not isinstance(text, str):
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    if time.tzinfo is None:
        return None
    time_ms = (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    return time_ms if 0 <= time_ms <= limits.U53_MAX else None


def _fits(text: object, bytes_max: int) -> bool:
    return isinstance(text, str) and _is_text(text) and 1 <= len(text.encode()) <= bytes_max


def _text(value: object, bytes_max: int) -> str:
    """The value if it is text that fits, else none."""
    return value if isinstance(value, str) and _fits(value, bytes_max) else ""


def _is_text(value: object) -> bool:
    """Whether it can be written as UTF-8: JSON can hold half characters, records cannot."""
    return not (isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value))


def _cut(text: str, bytes_max: int) -> str:
    return text.encode("utf-8", "replace")[:bytes_max].decode("utf-8", "ignore")
