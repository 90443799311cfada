"""Squeezed values: what comes out is what went in, and what is damaged is told, whatever its head says."""

from __future__ import annotations

import threading
from contextlib import suppress
from random import Random

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from daemon import limits
from daemon.store.squeeze import Unsqueezable, opened_bytes, squeeze, unsqueeze

WORDS = st.lists(st.sampled_from([b"points.activity", b"\xc1", bytes(32), b"evidence.record"]), max_size=200)


@given(st.binary(max_size=2_000) | WORDS.map(b"".join))
def test_what_comes_out_is_what_went_in(data: bytes) -> None:
    stored = squeeze(data)
    assert unsqueeze(stored) == data
    assert len(stored) <= len(data) or data[:1] == b"\xc1"


def test_what_repeats_gets_shorter_and_what_does_not_stays() -> None:
    assert len(squeeze(b"the same words " * 100)) < 100
    noise = Random(1).randbytes(5_000)
    assert squeeze(noise) is noise
    short = bytes(199)
    assert squeeze(short) is short
    assert unsqueeze(b"") == b""


@given(st.binary(max_size=300) | WORDS.map(b"".join))
def test_how_long_it_is_once_opened_is_in_its_head(data: bytes) -> None:
    stored = squeeze(data)
    assert opened_bytes(stored[:19], len(stored)) == max(len(data), len(stored))
    assert opened_bytes(b"\xc1?", 7) == 7
    absurd = b"\xc1" + (0xFD2FB528).to_bytes(4, "little") + bytes([0xE0]) + (1 << 60).to_bytes(8, "little")
    assert opened_bytes(absurd, 7) == 7


def test_what_is_too_long_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "UNSQUEEZED_BYTES_MAX", 1_000)
    assert squeeze(bytes(1_001)) == bytes(1_001)
    stored = squeeze(bytes(1_000))
    assert len(stored) < 100
    with pytest.raises(Unsqueezable):
        unsqueeze(stored, 999)


GOOD = squeeze(b"the same words " * 100)


@pytest.mark.parametrize(
    "stored",
    [
        b"\xc1",
        b"\xc1?",
        GOOD[:-1],
        GOOD + b"\0",
        GOOD + GOOD[1:],
        b"\xc1" + zstandard.ZstdCompressor(write_content_size=False).compress(bytes(500)),
        b"\xc1" + zstandard.ZstdCompressor().compress(b""),
        b"\xc1" + zstandard.ZstdCompressor().compress(b"") + b"more",
        b"\xc1" + (0x184D2A50).to_bytes(4, "little") + (4).to_bytes(4, "little") + b"skip",
    ],
    ids=[
        "nothing",
        "no frame",
        "cut",
        "more behind",
        "two frames",
        "without its size",
        "of nothing",
        "of nothing, and more behind",
        "a frame to be skipped",
    ],
)
def test_what_cannot_be_opened_is_told(stored: bytes) -> None:
    with pytest.raises(Unsqueezable):
        unsqueeze(stored)


def test_a_frame_that_says_it_is_huge_is_not_opened() -> None:
    """Before anything is allotted for it."""
    head = (0xFD2FB528).to_bytes(4, "little") + bytes([0xE0]) + (1 << 60).to_bytes(8, "little")
    with pytest.raises(Unsqueezable, match=str(1 << 60)):
        unsqueeze(b"\xc1" + head + bytes(20))


@given(st.data())
def test_damage_never_does_more_than_be_told_or_change_the_content(data: st.DataObject) -> None:
    stored = bytearray(GOOD)
    at = data.draw(st.integers(1, len(stored) - 1))
    stored[at] ^= data.draw(st.integers(1, 255))
    with suppress(Unsqueezable):
        assert len(unsqueeze(bytes(stored))) <= limits.UNSQUEEZED_BYTES_MAX


def test_threads_do_not_share_the_library_s_contexts() -> None:
    values = [Random(seed).randbytes(50) * 2_000 for seed in range(8)]
    wrong: list[int] = []

    def work(seed: int) -> None:
        whole = all(unsqueeze(squeeze(values[seed])) == values[seed] for _ in range(50))
        if not whole:
            wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
