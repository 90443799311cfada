"""Weighing: from the reports of stopped validators to the last block that is kept (decision 0014).

`weigh` is a pure function of opened reports (opening.py); strangers call it with those that a restart document holds.

**What is kept**: of the newest epoch that any report shows, the notarized proposal of highest view, with all below
it, as far as headers and batches of it are held. Everything final is on that path (decision 0014, the argument).

**Who counts.** A report counts where its validator is in the set, knows all that it signed above the base (the newest
header that a report proves final), and lacks no vote of its own that a certificate in another report shows. Reports of
blocking power make the result *certain*. A block that is not kept, above the view of the one that is, could be final
only if those who count and did not finalize it leave a quorum; `may_be_final` says so of each.

With honest reports of blocking power nothing above the kept block can be final, known or unknown. With fewer the others
are a quorum by themselves. With more, so many of those that report may have lied as there is power beyond blocking.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from protocol.consensus.certificates import signers_of
from protocol.consensus.statements import Certificate, Proposal, VoteKind
from protocol.consensus.validators import Validators
from protocol.errors import (
    RESTART_BAD_REPORT,
    RESTART_FORKED,
    RESTART_UNCERTAIN,
)
from protocol.ledger.closings import closes
from protocol.ledger.genesis import (
    FIRST_EPOCH,
    Genesis,
    network_id,
    validator_set,
    validators_hash,
)
from protocol.ledger.records import Header, Reference, header_hash
from protocol.proofs.finality import voters_of
from protocol.restart.opening import Base, OpenedReport, RestartRefused
from protocol.restart.records import RestartReport


@dataclass(frozen=True, slots=True)
class Witness:
    """A validator of the newest epoch that reported. `counts`: see the essay; `words`: why not."""

    voting_key: bytes
    power: int
    height: int
    counts: bool
    words: str


@dataclass(frozen=True, slots=True)
class Cut:
    """A block above the base that is not kept. `notarized_view` is 0 if no report shows a notarization."""

    hash: bytes
    header: Header | None
    notarized_view: int
    may_be_final: bool

    @property
    def references(self) -> tuple[Reference, ...]:
        """Its batches, as far as its header is known."""
        return () if self.header is None else self.header.references


@dataclass(frozen=True, slots=True)
class Weighed:
    """What follows from the reports.

    voters: of each epoch, from the first to the newest.
    kept: headers above `base` up to the last kept block, ascending; none if the base is the last. coming: the set of
    the next epoch, if the last kept block closes one, and how much of its power counts; None where there is none.
    """

    network_id: bytes
    epoch: int
    validators: Validators
    base: Base
    voters: Mapping[int, Validators]
    kept: tuple[Header, ...]
    witnesses: tuple[Witness, ...]
    lost: tuple[tuple[bytes, int], ...]
    counted: int
    coming: Validators | None
    coming_counted: int
    closes_unknown: bool
    cut: tuple[Cut, ...]

    @property
    def tip(self) -> Header:
        """The last kept block."""
        return self.kept[-1] if self.kept else self.base.header

    @property
    def next_unknown(self) -> bool:
        """Whether the last kept block ends its epoch, and the next one may have begun with others."""
        return self.closes_unknown or (self.coming is not None and self.coming_counted < self.coming.blocking)

    @property
    def blocking(self) -> bool:
        """Whether the reports that count have blocking power wherever blocks may have become final."""
        return self.counted >= self.validators.blocking and not self.next_unknown

    @property
    def certain(self) -> bool:
        """Whether everything that can be final anywhere is kept."""
        return self.blocking and not any(cut.may_be_final for cut in self.cut)


# -- All of them ------------------------------------------------------------------------------------


def weigh(genesis: Genesis, reports: Sequence[OpenedReport]) -> Weighed:
    """What to keep. Raises RestartRefused: a second report of one key, two histories, nothing final at all."""
    if not reports:
        raise RestartRefused(RESTART_BAD_REPORT, "no report was given")
    _check_distinct(reports)
    _check_one_history(reports)
    newest = max(reports, key=_progress)
    base, epoch = newest.base, newest.epoch
    if base is None:
        raise RestartRefused(RESTART_UNCERTAIN, "no report shows a final block: there is nothing to go on from")
    voters = voters_of(newest.validators)
    certificates = _certificates(reports, epoch, base.view)
    headers = {hashed: header for one in reports for hashed, header in one.headers.items()}
    witnesses = tuple(_witness(one, newest, base, certificates) for one in reports)
    counting = {w.voting_key for w in witnesses if w.counts}
    kept, kept_view = _kept(base, certificates, headers, {d for one in reports for d in one.report.batches})
    counted = [one for one in reports if one.report.voting_key in counting]
    tip = kept[-1] if kept else base.header
    sets = {validators_hash(each): each for one in reports for each in one.report.coming}
    named = sets.get(tip.next_validators_hash) if closes(tip) and _is_open(tip, epoch) else None
    coming = None if named is None else voters_of(named)
    return Weighed(
        network_id(genesis),
        epoch,
        voters,
        base,
        _voters(genesis, reports),
        kept,
        witnesses,
        tuple((key, power) for key, power in zip(voters.keys, voters.powers, strict=True) if not _has(reports, key)),
        _power(voters, counting),
        coming,
        0 if coming is None else _power(coming, counting | _outsiders(reports, voters, base)),
        closes(tip) and _is_open(tip, epoch) and coming is None,
        _cut(base, kept, kept_view, certificates, headers, epoch, voters, counted),
    )


def _voters(genesis: Genesis, reports: Sequence[OpenedReport]) -> dict[int, Validators]:
    """Of all epochs that the reports show; they agree on how each ended (`_check_one_history`)."""
    sets = {FIRST_EPOCH: validator_set(genesis)}
    for one in reports:
        sets |= {epoch: ended.validators for epoch, ended in enumerate(one.report.closed, FIRST_EPOCH + 1)}
    return {epoch: voters_of(validators) for epoch, validators in sets.items()}


def _progress(one: OpenedReport) -> tuple[int, int]:
    return one.epoch, 0 if one.base is None else one.base.header.height


def _is_open(header: Header, epoch: int) -> bool:
    """Whether the header is of the present epoch: a base that closed the one before is of that one."""
    return header.epoch == epoch


def _has(reports: Sequence[OpenedReport], voting_key: bytes) -> bool:
    return any(one.report.voting_key == voting_key for one in reports)


def _power(voters: Validators, keys: set[bytes]) -> int:
    return sum(power for key, power in zip(voters.keys, voters.powers, strict=True) if key in keys)


def _outsiders(reports: Sequence[OpenedReport], voters: Validators, base: Base) -> set[bytes]:
    """Reporters that are in no present set, but may be in the coming one: they have signed nothing in it."""
    known = [one.report for one in reports if voters.index_of(one.report.voting_key) is None]
    return {report.voting_key for report in known if _remembers(report, base)}


def _remembers(report: RestartReport, base: Base) -> bool:
    point = report.remembers
    return point is not None and (point.epoch, point.view) <= _point(base)


def _point(base: Base) -> tuple[int, int]:
    """Up to here nothing matters any more: the base's view, or its epoch's end."""
    ended = base.view == 0 or closes(base.header)
    return (base.header.epoch + 1, 0) if ended else (base.header.epoch, base.view)


def _check_distinct(reports: Sequence[OpenedReport]) -> None:
    seen: set[bytes] = set()
    for one in reports:
        key = one.report.voting_key
        if key in seen:
            words = f"two different reports of {key.hex()}: it went on after the first; ask its member which holds"
            raise RestartRefused(RESTART_BAD_REPORT, words)
        seen.add(key)


def _check_one_history(reports: Sequence[OpenedReport]) -> None:
    """No two reports prove different blocks final at one place."""
    finals: dict[int, bytes] = {}
    closings: dict[int, bytes] = {}
    for one in reports:
        for epoch, hashed in enumerate(one.closing, 1):
            if closings.setdefault(epoch, hashed) != hashed:
                raise RestartRefused(RESTART_FORKED, f"epoch {epoch} was closed by two different blocks")
        if one.base is not None:
            height = one.base.header.height
            if finals.setdefault(height, one.base.hash) != one.base.hash:
                raise RestartRefused(RESTART_FORKED, f"two different blocks are final at height {height}")


def _certificates(reports: Sequence[OpenedReport], epoch: int, above: int) -> list[Certificate]:
    """Notarizations and finalizations of the newest epoch above the base, highest view first."""
    found = [c for one in reports for c in one.report.certificates if c.epoch == epoch and c.view > above]
    return sorted(found, key=lambda certificate: -certificate.view)


def _witness(one: OpenedReport, newest: OpenedReport, base: Base, certificates: Sequence[Certificate]) -> Witness:
    report, voters = one.report, voters_of(newest.validators)
    place = voters.index_of(report.voting_key)
    height = 0 if one.base is None else one.base.header.height
    words = ""
    if place is None:
        words = "it is no validator of the newest epoch"
    elif not _remembers(report, base):
        words = "it does not know all that it signed (C-24)"
    else:
        shown = _not_reported(report, place, certificates)
        words = "" if shown is None else f"its report lacks a vote of view {shown} that another report shows"
    return Witness(report.voting_key, 0 if place is None else voters.powers[place], height, not words, words)


def _not_reported(report: RestartReport, place: int, certificates: Sequence[Certificate]) -> int | None:
    """The view of a vote that a certificate shows and the report lacks; None if there is none."""
    own = {(vote.kind, vote.proposal) for vote in report.votes}
    for certificate in certificates:
        if place in signers_of(certificate) and (certificate.kind, certificate.proposal) not in own:
            return certificate.view
    return None


def _kept(
    base: Base, certificates: Sequence[Certificate], headers: Mapping[bytes, Header], batches: set[bytes]
) -> tuple[tuple[Header, ...], int]:
    """The path from the base to the highest proposal with a certificate that is held whole, and its view."""
    for certificate in certificates:
        proposal = certificate.proposal
        assert proposal is not None, "opened reports hold no nullifications"
        path = _path(base, proposal.payload, headers)
        if path is not None and all(r.digest in batches for header in path for r in header.references):
            return path, certificate.view
    return (), base.view


def _path(base: Base, hashed: bytes, headers: Mapping[bytes, Header]) -> tuple[Header, ...] | None:
    """Headers above the base up to `hashed`, ascending; None if one is missing, or it does not descend from the
    base."""
    line: list[Header] = []
    while hashed != base.hash:
        header = headers.get(hashed)
        if header is None or header.height <= base.header.height:
            return None
        line.append(header)
        hashed = header.parent
    line.reverse()
    heights = [header.height for header in line]
    return tuple(line) if heights == [*range(base.header.height + 1, base.header.height + 1 + len(line))] else None


def _cut(
    base: Base,
    kept: Sequence[Header],
    kept_view: int,
    certificates: Sequence[Certificate],
    headers: Mapping[bytes, Header],
    epoch: int,
    voters: Validators,
    counted: Sequence[OpenedReport],
) -> tuple[Cut, ...]:
    stays = {base.hash, *(header_hash(header) for header in kept)}
    certified: dict[bytes, list[Certificate]] = {}
    for certificate in certificates:
        assert certificate.proposal is not None, "opened reports hold no nullifications"
        certified.setdefault(certificate.proposal.payload, []).append(certificate)
    others = {h for h, header in headers.items() if header.epoch == epoch and header.height > base.header.height}
    found: list[Cut] = []
    for hashed in sorted((others | certified.keys()) - stays):
        own = certified.get(hashed, [])
        endangered = any(_may_be_final(c, kept_view, voters, counted) for c in own)
        view = max((certificate.view for certificate in own), default=0)
        found.append(Cut(hashed, headers.get(hashed), view, endangered))
    return tuple(found)


def _may_be_final(
    certificate: Certificate, kept_view: int, voters: Validators, counted: Sequence[OpenedReport]
) -> bool:
    """Whether a certified proposal that is not kept can be final anywhere.

    One below the kept view cannot: what is kept was notarized above it, and does not descend from it.
    """
    if certificate.kind == VoteKind.FINALIZE:
        return True
    if certificate.view <= kept_view:
        return False
    silent = {one.report.voting_key for one in counted if not _finalized(one.report, certificate.proposal)}
    return voters.total - _power(voters, silent) >= voters.quorum


def _finalized(report: RestartReport, proposal: Proposal | None) -> bool:
    return any(vote.kind == VoteKind.FINALIZE and vote.proposal == proposal for vote in report.votes)
