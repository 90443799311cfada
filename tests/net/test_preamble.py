"""The preamble (L-29): mismatches in words, foreign bytes recognised."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.net.preamble import (
    ANSWER_HEAD_BYTES,
    PREAMBLE_BYTES,
    Answer,
    Mismatch,
    Preamble,
    choose,
    decode_answer,
    decode_preamble,
    looks_like,
    may_be_papilio,
    printable,
    prologue,
    words_bytes,
)
from protocol import errors

ONE, TWO = bytes([1]) * 32, bytes([2]) * 32


def test_the_layout_never_changes() -> None:
    """Golden bytes: programs of all versions share this layout, so changing it cuts them off from each other."""
    assert Preamble(1, 3, ONE).encode() == b"PAPILIO" + bytes([0, 1, 0, 3]) + ONE
    assert Answer(3).encode() == bytes([0, 0, 3, 0, 0])
    assert Answer(0, "no").encode() == bytes([1, 0, 0, 0, 2]) + b"no"
    joined = prologue(Preamble(1, 3, ONE).encode(), Preamble(2, 2, ONE).encode(), 2)
    assert joined == (
        b"papilio/channel/PAPILIO" + bytes([0, 1, 0, 3]) + ONE + b"PAPILIO" + bytes([0, 2, 0, 2]) + ONE + bytes([0, 2])
    )


@given(st.integers(1, 65535), st.integers(1, 65535), st.binary(min_size=32, max_size=32))
def test_a_preamble_comes_back(low: int, high: int, network_id: bytes) -> None:
    if low <= high:
        preamble = Preamble(low, high, network_id)
        assert len(preamble.encode()) == PREAMBLE_BYTES
        assert decode_preamble(preamble.encode()) == preamble


@pytest.mark.parametrize(
    "ours,theirs,version",
    [((1, 1), (1, 1), 1), ((1, 3), (2, 5), 3), ((2, 5), (1, 3), 3), ((1, 9), (4, 4), 4)],
)
def test_the_highest_common_version_is_chosen(ours: tuple[int, int], theirs: tuple[int, int], version: int) -> None:
    assert choose(Preamble(*ours, ONE), Preamble(*theirs, ONE)) == version


def test_no_common_version_is_said_in_words() -> None:
    with pytest.raises(Mismatch) as mismatch:
        choose(Preamble(1, 2, ONE), Preamble(3, 4, ONE))
    assert mismatch.value.code == errors.NO_COMMON_VERSION
    assert "this node speaks 1 to 2, the other 3 to 4" in mismatch.value.words


def test_another_network_is_said_in_words() -> None:
    with pytest.raises(Mismatch) as mismatch:
        choose(Preamble(1, 1, ONE), Preamble(1, 1, TWO))
    assert mismatch.value.code == errors.OTHER_NETWORK
    assert ONE.hex()[:16] in mismatch.value.words
    assert TWO.hex()[:16] in mismatch.value.words


@pytest.mark.parametrize("versions", [(0, 0), (0, 5), (3, 2)])
def test_versions_that_are_none_are_refused(versions: tuple[int, int]) -> None:
    low, high = versions
    data = b"PAPILIO" + low.to_bytes(2, "big") + high.to_bytes(2, "big") + ONE
    with pytest.raises(Mismatch, match="versions from"):
        decode_preamble(data)


@pytest.mark.parametrize(
    "data,kind",
    [
        (b"", "nothing"),
        (b"GET / HTTP/1.1\r\n", "http"),
        (b"PRI * HTTP/2.0", "http"),
        (b"POST /v1 HTTP/1.1", "http"),
        (b"\x16\x03\x01\x02\x00\x01", "tls"),
        (b"SSH-2.0-OpenSSH_9.6", "ssh"),
        (b"PAPI", "cut"),
        (b"\x00\x01\x02", "garbage"),
        (b"PAPILLON", "garbage"),
    ],
)
def test_foreign_bytes_are_recognised(data: bytes, kind: str) -> None:
    assert looks_like(data) == kind
    assert may_be_papilio(data) == (kind in ("nothing", "cut"))


@given(st.binary(min_size=ANSWER_HEAD_BYTES, max_size=300))
def test_an_answer_is_bounded_and_either_chooses_or_refuses(data: bytes) -> None:
    """Whatever comes: at most 256 bytes of words, no words with a choice, no choice with a refusal."""
    try:
        size = words_bytes(data[:ANSWER_HEAD_BYTES])
    except Mismatch:
        return
    answer = decode_answer(data[: ANSWER_HEAD_BYTES + size])
    assert size <= 256
    assert (answer.version == 0) == (data[0] == 1)
    assert not (answer.version and answer.words)
    assert answer.words.isprintable()


def test_long_words_are_cut_to_the_field() -> None:
    data = Answer(0, "é" * 500).encode()
    assert words_bytes(data[:ANSWER_HEAD_BYTES]) == len(data) - ANSWER_HEAD_BYTES <= 256
    assert decode_answer(data).words.startswith("ééé")


def test_foreign_words_cannot_forge_a_log_line() -> None:
    assert printable(b"a\nb\x1b[31m\xff") == "a?b?[31m\ufffd"
