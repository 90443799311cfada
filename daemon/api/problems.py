"""Refusals as `application/problem+json` (RFC 9457), each with a code of the one table (L-10).

Members: `type` (a relative reference to the code's row on `/docs`), `title` (the code's meaning), `status`, `detail`
(words about this case), `code`, `fault` (client, peer, operator, network, node), `retry` (never, later, elsewhere,
changed). With `Retry-After` where trying again here may help.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from daemon import limits
from daemon.api.messages import PROBLEM, Answer
from protocol import errors
from protocol.errors import CODES, ClientFault, Retry

STATUS: Final[Mapping[str, int]] = {
    errors.BAD_REQUEST: 400,
    errors.MALFORMED: 400,
    errors.NOT_FOUND: 404,
    errors.NO_SUCH_PATH: 404,
    errors.METHOD_NOT_ALLOWED: 405,
    errors.REQUEST_TIMEOUT: 408,
    errors.NOT_COVERED: 409,
    errors.PRUNED: 410,
    errors.TOO_LARGE: 413,
    errors.UNSUPPORTED_MEDIA_TYPE: 415,
    errors.POOL_FULL: 429,
    errors.ACCOUNT_SHARE_FULL: 429,
    errors.INTERNAL_ERROR: 500,
    errors.API_BUSY: 503,
    errors.DISK_FULL: 503,
    errors.NOT_READY: 503,
    errors.NOT_VALIDATOR: 503,
    errors.SEGMENT_DAMAGED: 503,
    errors.STOPPING: 503,
}
"""The codes that an answer as a whole may have. (Those of single envelopes stand in their results.)"""

PRESSURE: Final = frozenset(
    {errors.POOL_FULL, errors.ACCOUNT_SHARE_FULL, errors.DISK_FULL, errors.NOT_VALIDATOR, errors.STOPPING}
)
"""Why a node takes no envelopes at the moment, whatever they are."""


class Problem(ClientFault):
    """A request that cannot be honoured: what `answer` makes a problem of."""

    def __init__(self, code: str, words: str, *, status: int | None = None, more: Mapping[str, Any] | None = None):
        super().__init__(words, code=code)
        self.status = STATUS[code] if status is None else status
        self.more = more or {}
        self.headers: tuple[tuple[str, str], ...] = ()

    def answer(self) -> Answer:
        """As it is sent."""
        return problem(self.code, self.words, status=self.status, more=self.more, headers=self.headers)


def bad_request(words: str) -> Problem:
    """The request is not what the table describes."""
    return Problem(errors.BAD_REQUEST, words)


def problem(
    code: str,
    words: str,
    *,
    status: int | None = None,
    more: Mapping[str, Any] | None = None,
    headers: tuple[tuple[str, str], ...] = (),
) -> Answer:
    """A problem with this code; `more`: further members."""
    status = STATUS.get(code, 400) if status is None else status
    body = {"type": f"/docs#code-{code}", "status": status, "detail": words, **described(code), **(more or {})}
    if CODES[code].retry is Retry.LATER or status == 503:
        headers = (("retry-after", str(limits.API_RETRY_AFTER_SECONDS)), *headers)
    return Answer(status, to_bytes(body), PROBLEM, headers)


def described(code: str) -> dict[str, str]:
    """A code's row of the table."""
    row = CODES[code]
    return {"title": row.meaning, "code": code, "fault": row.fault.value, "retry": row.retry.value}


def to_bytes(value: Any) -> bytes:
    """JSON, compact, UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
