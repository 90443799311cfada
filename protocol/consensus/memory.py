"""What a validator without its memory may believe (C-24): pure functions, no conversation.

The argument stands in SPECIFICATION.md, *Coming back without a memory*. In short: whatever view this validator can have
voted in was entered by a certificate; its honest signers, less itself, meet every quorum of answers that does not count
itself; each answers with a view at or above that certificate's. So it never voted above the highest answered view + 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from protocol.consensus.certificates import signers_of
from protocol.consensus.core import Core
from protocol.consensus.spreading import entry
from protocol.consensus.statements import Certificate, Vote
from protocol.consensus.validators import Validators


def proven_view(entered_by: Certificate | None) -> int:
    """The view that this (good) certificate enters; without one the first."""
    return 1 if entered_by is None else entered_by.view + 1


def power_of(validators: Validators, signers: Iterable[int]) -> int:
    """Power of these validators."""
    return sum(validators.powers[signer] for signer in signers)


def may_be_all(validators: Validators, me: int) -> int:
    """Power that is enough at a start with a whole journal: a quorum, or all others where that is less."""
    return min(validators.quorum, validators.total - validators.powers[me])


def tolerated(validators: Validators) -> int:
    """Power that may lie: (P-1)//3. What more than that claims, at least one honest validator claims."""
    return (validators.total - 1) // 3


def vote_floor(answered_views: Mapping[int, int], validators: Validators, me: int) -> int | None:
    """The vote floor that these answers (signer -> proven view) allow, or None while they are too few."""
    assert me not in answered_views, "none its own"
    if power_of(validators, answered_views) < validators.quorum:
        return None
    return max(answered_views.values()) + 1


def entry_to_show(core: Core) -> Certificate | None:
    """What proves the current view; None in the first, and where it is not held."""
    best = entry(core)
    return best if best is not None and best.view + 1 >= core.view else None


def statements_by(core: Core, signer: int, above: int, count: int) -> tuple[Vote, ...]:
    """Up to `count` statements of this validator in views above `above` that are known here, highest views first.

    From slots (signatures not always checked) and certificates.
    """
    found: dict[tuple[int, int], Vote] = {}
    for view, votes in core.keeper.views.items():
        for slots in votes.slots if view > above else ():
            if signer in slots:
                vote = slots[signer].vote
                found[(view, vote.kind)] = vote
    for certificate in (core.finalization, *core.notarizations.values(), *core.nullifications.values()):
        if certificate is not None and certificate.view > above:
            own = statement_in(certificate, signer)
            if own is not None:
                found.setdefault((own.view, own.kind), own)
    return tuple(found[mark] for mark in sorted(found, reverse=True)[:count])


def statement_in(certificate: Certificate, signer: int) -> Vote | None:
    """This validator's vote inside a certificate, if it is one of the signers."""
    signers = signers_of(certificate)
    if signer not in signers:
        return None
    signature = certificate.signatures[signers.index(signer)]
    return Vote(certificate.kind, certificate.epoch, certificate.view, certificate.proposal, signer, signature)
