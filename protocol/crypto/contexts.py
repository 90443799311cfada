"""The closed lists of hash domains and signing contexts (L-2, L-4).

Every hash of a record starts with its domain's tag, every signed message with its context's tag and the
network id. Tags end in a zero byte that occurs nowhere else in a tag, so none is the beginning of
another, and no two domains or contexts can produce the same bytes. Add at the end; never reuse a name.
"""

from __future__ import annotations

from enum import Enum


class Domain(Enum):
    """What is hashed."""

    GENESIS = b"papilio/hash/genesis\x00"
    ACCOUNT = b"papilio/hash/account\x00"
    TRANSACTION = b"papilio/hash/transaction\x00"
    BATCH = b"papilio/hash/batch\x00"
    HEADER = b"papilio/hash/header\x00"
    VALIDATORS = b"papilio/hash/validators\x00"
    STATE_KEY = b"papilio/hash/state-key\x00"
    STATE_LEAF = b"papilio/hash/state-leaf\x00"
    STATE_BRANCH = b"papilio/hash/state-branch\x00"
    LEADER_SEED = b"papilio/hash/leader-seed\x00"
    MESSAGE = b"papilio/hash/message\x00"
    SALTED_FIELD = b"papilio/hash/salted-field\x00"
    CLAIM = b"papilio/hash/claim\x00"
    STATE_VALUE = b"papilio/hash/state-value\x00"
    PROGRAMME = b"papilio/hash/programme\x00"
    RESTART = b"papilio/hash/restart\x00"


class Context(Enum):
    """What is signed."""

    ENVELOPE = b"papilio/sign/envelope\x00"
    BATCH = b"papilio/sign/batch\x00"
    NOTARIZE = b"papilio/sign/notarize\x00"
    NULLIFY = b"papilio/sign/nullify\x00"
    FINALIZE = b"papilio/sign/finalize\x00"
    CHANNEL = b"papilio/sign/channel\x00"
    RESTORE = b"papilio/sign/restore\x00"
    REPORT = b"papilio/sign/restart-report\x00"
    APPROVAL = b"papilio/sign/restart-approval\x00"


for _enum in (Domain, Context):
    for _item in _enum:
        assert _item.value.index(b"\x00") == len(_item.value) - 1, _item
assert not {d.value for d in Domain} & {c.value for c in Context}
