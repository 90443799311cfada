"""Texts of keys, ids and addresses: one text for one value, and every other text is refused with what is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.config import texts
from daemon.config.texts import Address, Form, parse_address

FORMS = [
    texts.PUBLIC_KEY,
    texts.SECRET_KEY,
    texts.NETWORK_ID,
    texts.ACCOUNT,
    texts.TRANSACTION_ID,
    texts.JOURNAL_ID,
]


@given(st.data())
def test_there_and_back(data: st.DataObject) -> None:
    form = data.draw(st.sampled_from(FORMS))
    value = data.draw(st.binary(min_size=form.size, max_size=form.size))
    assert form.parse(form.format(value)) == value


def test_no_text_has_two_meanings() -> None:
    assert len({form.prefix for form in FORMS}) == len(FORMS)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ab" * 32, "does not begin with ed25519:"),
        ("ed25519-secret:" + "ab" * 32, "begins with ed25519-secret:"),
        ("ed25519:" + "ab" * 31, "62 digits"),
        ("ed25519:" + "ab" * 33, "66 digits"),
        ("ed25519:" + "AB" * 32, "other characters than 0-9 and a-f"),
        ("ed25519: " + "a" * 63, "other characters"),
        ("ed25519:" + "a" * 63 + "\n", "other characters"),
        ("", "does not begin"),
    ],
)
def test_other_texts_are_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        texts.PUBLIC_KEY.parse(text)


@pytest.mark.parametrize("form", FORMS)
def test_a_value_of_another_size_is_ours(form: Form) -> None:
    with pytest.raises(AssertionError):
        form.format(bytes(form.size + 1))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:7100", Address("127.0.0.1", 7100)),
        ("[::1]:1", Address("::1", 1)),
        ("[2001:db8:0::1]:65535", Address("2001:db8::1", 65535)),
        ("node-1.bank.example:7100", Address("node-1.bank.example", 7100)),
        ("localhost:7100", Address("localhost", 7100)),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host",
        "host:",
        ":7100",
        "host:0",
        "host:65536",
        "host:7100 ",
        "host:+1",
        "host:७",
        "::1:7100",
        "[::1]",
        "[x]:1",
        "1.2.3:1",
        "1.2.3.4.5:1",
        "256.1.1.1:1",
        "-a:1",
        "a b:1",
        "a/b:1",
        "http://a:1",
        "[127.0.0.1]:1",
        "a..b:1",
    ],
)
def test_other_addresses_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_address(text)


def test_loopback() -> None:
    assert [a for a in ("127.0.0.1", "127.9.9.9", "::1", "localhost") if not Address(a, 1).is_loopback] == []
    assert [a for a in ("0.0.0.0", "10.0.0.1", "::", "example.org") if Address(a, 1).is_loopback] == []


def test_secrets_are_taken_out_of_what_is_shown() -> None:
    secret = texts.SECRET_KEY.format(b"\xab" * 32)
    shown = texts.without_secrets(f"key = {secret} and {secret}x")
    assert "abab" not in shown
    assert shown == "key = ed25519-secret:(withheld) and ed25519-secret:(withheld)"
