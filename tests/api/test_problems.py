"""The JSON of all answers (daemon/api/problems.py)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from daemon.api.problems import to_bytes


@pytest.mark.parametrize(
    "value",
    [
        {"text": '\x00\x1f\n\t\\"/é\u2028😀\x7f', "list": [1, None, True, -5, 2**63, 2**64 - 1, 1.5], "empty": {}},
        {"past 64 bits": 2**70},
        [{"half a character, as of a file's name": "\ud800"}, "whole"],
        "text",
        None,
    ],
)
def test_it_is_what_the_standard_library_makes(value: Any) -> None:
    plain = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    assert to_bytes(value) == plain
