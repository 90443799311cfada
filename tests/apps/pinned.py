"""What rules version 1 say and leave, pinned: words of every refusal, and the state in front of it (L-19, L-23).

`rules_1.json` holds, for each case of `test_refusals`, the words of the refusal and a hash over the state that the
operations before it made. Both are consensus: a receipt holds the words, a header the state. Where one differs, an
older ledger would not replay to the same roots, and the change needs a new version of the rules.

    python -m tests.apps.pinned --write     adds cases that are missing; changes none
"""

from __future__ import annotations

import json
import sys
from hashlib import sha256
from pathlib import Path

from protocol.codec import encode
from protocol.errors import Refused
from tests.apps.test_refusals import CASES, CONSENTING

FILE = Path(__file__).with_name("rules_1.json")


def computed(case: tuple[str, str, str]) -> dict[str, str]:
    """Words and state of one case, as this program gives them."""
    world, sender, arguments = CASES[case]()
    pairs = b"".join(len(part).to_bytes(4, "big") + part for pair in sorted(world.state().items()) for part in pair)
    words = "not refused"
    try:
        world.run(sender, arguments, also=("shop",) if case[1] == "redeem" and case[2] in CONSENTING else ())
    except Refused as refusal:
        words = refusal.words
    return {"words": words, "state": sha256(pairs).hexdigest(), "arguments": sha256(encode(arguments)).hexdigest()}


def load() -> dict[str, dict[str, str]]:
    """What is pinned, by the case's name."""
    found: dict[str, dict[str, str]] = json.loads(FILE.read_text()) if FILE.exists() else {}
    return found


def main() -> int:
    """Add what is missing."""
    if sys.argv[1:] != ["--write"]:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    known = load()
    merged = {".".join(case): known.get(".".join(case)) or computed(case) for case in sorted(CASES)}
    FILE.write_text(json.dumps(merged, indent=1, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
