"""The page of refusal codes, `daemon/docs/codes.md`, written from `protocol.errors.CODES` (L-10).

    python -m scripts.codes            write the page
    python -m scripts.codes --check    exit code 1 if it is not what would be written

A test does the second. What a code means is said in `protocol/errors.py` and nowhere else by hand.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from daemon.api.problems import STATUS
from protocol.errors import CODES, Code, Fault, Retry

PAGE = Path(__file__).resolve().parent.parent / "daemon" / "docs" / "codes.md"
FAULTS = {
    Fault.CLIENT: "the sender of a request or transaction",
    Fault.PEER: "another node",
    Fault.OPERATOR: "whoever runs this node, or gave this file or command",
    Fault.NETWORK: "nobody in particular: pressure, or the way between nodes",
    Fault.NODE: "this node",
}
RETRIES = {
    Retry.NEVER: "the same content will never be accepted",
    Retry.LATER: "the same content may be accepted later, here",
    Retry.ELSEWHERE: "the same content may be accepted by another node now",
    Retry.CHANGED: "a corrected content may be accepted, signed anew under a new id if it is a transaction",
}
HEAD = """\
# Refusal codes

Written by `python -m scripts.codes` from `protocol/errors.py`; do not edit. Every refusal, wherever it happens (API,
receipt, channel between nodes, command line, proof), carries one of these codes. A code is never renamed or given
another meaning.
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD, _legend("Whose fault", {fault.value: words for fault, words in FAULTS.items()})]
    parts.append(_legend("Whether to try again", {retry.value: words for retry, words in RETRIES.items()}))
    rows = "".join(_row(code) for code in CODES.values())
    words = (
        "HTTP: the status where an answer as a whole has this code; those of single transactions stand in results.\n"
    )
    heads = "| code | meaning | fault | retry | HTTP |\n|---|---|---|---|---|\n"
    parts.append(f"## All codes\n\n{words}\n{heads}{rows}")
    return "\n".join(parts)


def _legend(title: str, meanings: dict[str, str]) -> str:
    return f"## {title}\n\n| word | meaning |\n|---|---|\n" + "".join(f"| {w} | {m} |\n" for w, m in meanings.items())


def _row(code: Code) -> str:
    meaning = code.meaning.replace("|", "\\|")
    return f"| `{code.name}` | {meaning} | {code.fault.value} | {code.retry.value} | {STATUS.get(code.name, '')} |\n"


def main() -> int:
    """Write or compare."""
    parser = argparse.ArgumentParser(prog="python -m scripts.codes", description="write daemon/docs/codes.md")
    parser.add_argument("--check", action="store_true", help="compare only")
    if parser.parse_args().check:
        current = PAGE.is_file() and PAGE.read_text(encoding="utf-8") == page()
        print(f"{PAGE} is {'current' if current else 'not current: run python -m scripts.codes'}")
        return 0 if current else 1
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
