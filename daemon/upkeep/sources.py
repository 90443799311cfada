"""Where lost blocks come from: other nodes' APIs, one after the other. None of them is believed (judging.py)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import httpx

from daemon.client.http import options
from daemon.upkeep.judging import Judge, Judged, NotFinal
from protocol.limits import BLOCK_BYTES_MAX, MIB

SECONDS: Final = 30.0
ANSWER_BYTES_MAX: Final = BLOCK_BYTES_MAX + MIB
CHUNK_BLOCKS: Final = 256
CHUNK_BYTES: Final = 64 * MIB
COVER_BLOCKS: Final = 16
"""So far above what is lost a certificate is looked for that covers it."""


class NoBlock(Exception):
    """The source did not give it; the words say why."""


class Source(Protocol):
    """Something that may have blocks."""

    @property
    def name(self) -> str:
        """For people."""
        ...

    def read(self, height: int) -> bytes:
        """The encoded block of `height`, or whatever it says is one. Raises NoBlock."""
        ...


class NodeSource:
    """A node's API, at `url`."""

    def __init__(self, url: str) -> None:
        self.name = url.rstrip("/")
        self._client = httpx.Client(timeout=SECONDS, **options((url,), None))

    def read(self, height: int) -> bytes:
        """As `Source`."""
        pieces: list[bytes] = []
        size = 0
        try:
            with self._client.stream("GET", f"{self.name}/v1/blocks/{height}/encoded") as answer:
                for piece in answer.iter_bytes():
                    size += len(piece)
                    if size > ANSWER_BYTES_MAX:
                        raise NoBlock("it answers more than any block has")
                    pieces.append(piece)
        except httpx.HTTPError as fault:
            raise NoBlock(f"it cannot be asked: {str(fault) or type(fault).__name__}") from fault
        if answer.status_code != 200:
            raise NoBlock(f"it answers {answer.status_code} for block {height}")
        return b"".join(pieces)

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()


@dataclass(slots=True)
class Fetcher:
    """Gets blocks from the first source whose blocks hold. A source that gave something else is asked no more.

    charged: name of each source that was found out -> what it did, in words. missed: what others did not have.
    """

    judge: Judge
    sources: Sequence[Source]
    charged: dict[str, str] = field(default_factory=dict)
    missed: dict[str, str] = field(default_factory=dict)
    fetched: int = 0

    def fetch(self, first: int, last: int, below: bytes | None, above: bytes | None) -> dict[int, bytes]:
        """Blocks of these heights, final on `below` and under `above`; as many from `first` on as can be."""
        found: dict[int, bytes] = {}
        while first <= last:
            for source in self.sources:
                if source.name in self.charged:
                    continue
                judged, blocks = self._part(source, first, last, below, above)
                if judged:
                    break
            else:
                return found
            for one, data in zip(judged, blocks, strict=False):
                found[one.height] = data
            first, below = judged[-1].height + 1, judged[-1].hash
            self.fetched += len(judged)
        return found

    def _part(
        self, source: Source, first: int, last: int, below: bytes | None, above: bytes | None
    ) -> tuple[list[Judged], list[bytes]]:
        """Some blocks of one source; none if it has none, or none that hold."""
        blocks: list[bytes] = []
        size = 0
        try:
            end = last + 1 if above is not None else last + 1 + COVER_BLOCKS
            while len(blocks) < min(CHUNK_BLOCKS, end - first) and size < CHUNK_BYTES:
                blocks.append(source.read(first + len(blocks)))
                size += len(blocks[-1])
        except NoBlock as fault:
            self.missed[source.name] = str(fault)
        if not blocks:
            return [], []
        whole = first + len(blocks) - 1 == last
        try:
            judged = self.judge.chain(first, blocks, below, above if whole else None)
        except NotFinal as fault:
            self.charged[source.name] = fault.words
            return [], []
        if not judged:
            self.missed[source.name] = f"it has no certificate that covers block {first}"
        return [one for one in judged if one.height <= last], blocks
