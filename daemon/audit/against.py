"""Another copy of the history beside the one that is audited: another directory, or a running node's API.

Blocks are compared by header and batches; certificates of one block may differ between nodes without harm, since each
keeps the quorum that it saw. Where headers differ, it is said whether the other block too is made final by a quorum:
then more than a third of the power signed twice, and the network's assumption is broken.

A copy that is shorter is no difference: it says how far it was compared.
"""

from __future__ import annotations

from dataclasses import fields
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

from daemon import limits
from daemon.audit.blocks import BlockStream, Damaged, Found
from daemon.audit.findings import Compared, Difference, Of, Report
from daemon.audit.judging import Judged, shown
from daemon.audit.voters import Voters
from daemon.client import Client, ClientError
from protocol.codec import decode
from protocol.consensus.statements import Certificate
from protocol.errors import Malformed
from protocol.ledger.records import Block, Executed, Header
from protocol.proofs.finality import ProofRefused, check_certificate

ENOUGH: Final = 50
"""Differences after which a comparison ends."""


class OtherDirectory:
    """The blocks of another directory, read beside. Raises OperatorFault if it is another network's."""

    def __init__(self, given: Path, segments: Path, network_id: bytes, report: Report) -> None:
        self._report = report
        self._network_id = network_id
        self._stream = BlockStream(segments, network_id)
        self._next: Found | Damaged | None = self._stream.next()
        self._found = Compared(Of.AGAINST, str(given), "blocks")
        report.compared.append(self._found)
        self._differences = 0

    def close(self) -> None:
        """Let go of its files."""
        self._stream.close()

    def block(self, height: int, judged: Judged, voters: Voters) -> None:
        """Compare the block of `height`."""
        if self._differences >= ENOUGH:
            return
        while isinstance(self._next, Damaged):
            damaged, self._next = self._next, self._stream.next()
            where = f"{damaged.file} at byte {damaged.offset}"
            words = "the other directory's record does not check"
            self._differ(height, where, "block", damaged.field, damaged.expected, damaged.found, words)
        while isinstance(self._next, Found) and self._next.height < height:
            self._next = self._stream.next()
        if not isinstance(self._next, Found) or self._next.height > height:
            return
        other, self._next = self._next, self._stream.next()
        self._found.height = height
        self._found.records += 1
        try:
            self._compare(height, judged, decode(Block, other.data), voters)
        except Malformed as malformed:
            words = f"the other directory's block cannot be read: {malformed.words}"
            self._differ(height, self._found.where, "block", malformed.field, "a record", "other bytes", words)

    def _compare(self, height: int, judged: Judged, other: Block, voters: Voters) -> None:
        where = self._found.where
        if other.header != judged.block.header:
            header = decode(Header, other.header)
            words = f"the two directories hold different blocks; {self._finality(judged, header, other, voters)}"
            for one in fields(Header):
                mine, found = getattr(judged.header, one.name), getattr(header, one.name)
                if mine != found:
                    self._differ(height, where, "header", one.name, shown(mine), shown(found), words)
        elif other.batches != judged.block.batches:
            words = "the two directories hold different batches under one header"
            for index, (mine, theirs) in enumerate(zip_longest(judged.block.batches, other.batches)):
                if mine != theirs:
                    values = [shown(batch) if batch is not None else "none" for batch in (mine, theirs)]
                    self._differ(height, where, f"batch {index}", "", values[0], values[1], words)

    def _finality(self, judged: Judged, theirs: Header, other: Block, voters: Voters) -> str:
        """Which of two blocks has a certificate of its own that holds."""
        certified = False
        if other.finalization is not None and voters.validators is not None:
            try:
                certificate = decode(Certificate, other.finalization)
                certified = check_certificate(self._network_id, voters.validators, certificate, theirs) > 0
            except (Malformed, ProofRefused):
                certified = False
        match judged.certified, certified:
            case True, True:
                return "BOTH are made final by a quorum, so more than a third of the power signed twice"
            case True, False:
                return "only the audited one has a certificate that holds"
            case False, True:
                return "only the other one has a certificate that holds"
        return "neither has a certificate of its own that holds"

    def _differ(self, height: int, where: str, record: str, name: str, expected: str, found: str, words: str) -> None:
        self._differences += 1
        self._report.differs(Difference(Of.AGAINST, height, where, record, name, expected, found, words))


class OtherNode:
    """What a running node shows, asked page by page. Raises ClientError (unreachable, another network) at the start."""

    def __init__(self, url: str, network_id: bytes, report: Report) -> None:
        self._report = report
        self._client = Client(url, network_id=network_id)
        self._client.network()
        self._latest = self._ask_latest()
        self._page: dict[int, Any] = {}
        self._found = Compared(Of.AGAINST, url, "what the node shows")
        report.compared.append(self._found)
        self._differences = 0

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def block(self, height: int, hashed: bytes, executed: Executed | None) -> None:
        """Compare hash and results of `height`; executed is None if it could not be executed here."""
        if self._differences >= ENOUGH or height > self._latest:
            return
        try:
            shown_block = self._summary(height)
            if shown_block is None:
                return
            wrong = [("hash", hashed.hex(), shown_block["hash"])]
            if executed is not None:
                wrong.append(("state_root", executed.state_root.hex(), shown_block["state_root"]))
            self._found.height = height
            self._found.records += 1
            if any(mine != theirs for _, mine, theirs in wrong):
                self._tell(height, wrong)
            elif height == self._latest and executed is not None:
                self._last(height, executed)
        except (ClientError, KeyError) as fault:
            self._latest = 0
            words = "the node stopped answering as its interface describes; what follows was not compared"
            self._differ(height, "answer", "", "a block", str(fault), words)

    def _last(self, height: int, executed: Executed) -> None:
        """The newest block that it shows, whole: its log root covers every receipt before it."""
        block = self._client.get_json(f"/v1/blocks/{height}")
        rows = [("log_size", str(executed.log_size), str(block["log_size"]))]
        rows.append(("log_root", executed.log_root.hex(), block["log_root"]))
        self._tell(height, rows)

    def _tell(self, height: int, rows: list[tuple[str, str, str]]) -> None:
        for name, mine, theirs in rows:
            if mine != theirs:
                words = "the node shows another block or other results at this height"
                self._differ(height, "block", name, mine, str(theirs), words)

    def _summary(self, height: int) -> Any:
        if height not in self._page:
            query = [("from", str(height)), ("limit", str(limits.API_BLOCKS_LISTED_MAX))]
            answer = self._client.get_json("/v1/blocks", query)
            self._page = {int(one["height"]): one for one in answer["blocks"]}
        return self._page.get(height)

    def _ask_latest(self) -> int:
        return int(self._client.get_json("/v1/blocks", [("limit", "1")])["latest"])

    def _differ(self, height: int, record: str, name: str, expected: str, found: str, words: str) -> None:
        self._differences += 1
        self._report.differs(Difference(Of.AGAINST, height, self._found.where, record, name, expected, found, words))
