"""What is known of damaged blocks while they are asked for (`protocol.node.mending` is the conversation)."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from protocol.ledger.genesis import ValidatorSet
from protocol.sync.blocks import BlockSync


@dataclass(slots=True)
class Mending:
    """Which blocks are wanted, and the one that is being asked for.

    wanted: height -> (parent, hash, its epoch's set). fetch: of the peer that is asked, None between two questions.
    avoid: peers that gave nothing good, until when they are left alone. checking: whether the block's signatures are
    being checked.
    """

    wanted: OrderedDict[int, tuple[bytes, bytes, ValidatorSet]] = field(default_factory=OrderedDict)
    height: int = 0
    fetch: BlockSync | None = None
    checking: bool = False
    session: int = 0
    avoid: dict[bytes, int] = field(default_factory=dict)
