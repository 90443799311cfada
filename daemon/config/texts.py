"""How keys, hashes, ids and addresses are written for people: one text for one value, and what it is stands in front.

    ed25519:<64 hex digits>          a public key
    ed25519-secret:<64 hex digits>   the seed of a private key (RFC 8032, 5.1.5): in key files only
    network:<64 hex digits>          a network id (L-4)
    account:<64 hex digits>          an account (L-6)
    transaction:<64 hex digits>      a transaction id (L-5)
    journal:<32 hex digits>          a journal's id (C-24)
    hash:<64 hex digits>             a hash of something else: a header, a root, a document
    host:port, [::1]:port            an address

Digits are lower case: two texts that differ are two values. There is no checksum: a mistyped public key is almost never
a point that L-3 accepts (of 2^256 texts one in sixteen is), a mistyped hash names nothing, and both are said at once.

Deliberately absent: base58, bech32 and other alphabets; whoever compares a key by eye, or greps a log, wants hex.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Form:
    """A way of writing byte strings of one kind: what stands in front, how many bytes, and what it is called."""

    prefix: str
    size: int
    name: str

    def format(self, value: bytes) -> str:
        """The text of `value`, which has `size` bytes."""
        assert len(value) == self.size, f"{self.name} has {self.size} bytes"
        return f"{self.prefix}:{value.hex()}"

    @property
    def expected(self) -> str:
        """What a reader expects, in words."""
        return f"{self.name}: {self.prefix}: and {2 * self.size} hexadecimal digits in lower case"

    def parse(self, text: str) -> bytes:
        """The bytes of `text`. Raises ValueError with what is wrong with it; never with the text itself."""
        prefix, colon, digits = text.partition(":")
        if not colon:
            raise ValueError(f"text that does not begin with {self.prefix}:")
        if prefix != self.prefix:
            raise ValueError(f"text that begins with {prefix[:24]}:")
        if len(digits) != 2 * self.size:
            raise ValueError(f"{len(digits)} digits")
        if not re.fullmatch("[0-9a-f]*", digits):
            raise ValueError("other characters than 0-9 and a-f")
        return bytes.fromhex(digits)


PUBLIC_KEY: Final = Form("ed25519", 32, "a public key")
SECRET_KEY: Final = Form("ed25519-secret", 32, "a secret key")
NETWORK_ID: Final = Form("network", 32, "a network id")
ACCOUNT: Final = Form("account", 32, "an account")
TRANSACTION_ID: Final = Form("transaction", 32, "a transaction id")
JOURNAL_ID: Final = Form("journal", 16, "a journal's id")
HASH: Final = Form("hash", 32, "a hash")

_SECRET: Final = re.compile(rf"{SECRET_KEY.prefix}:\S*")
_HOST_NAME: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
ADDRESS_EXPECTED: Final = "an address: host:port, as in 127.0.0.1:7100, node.example.org:7100 or [::1]:7100"


def without_secrets(text: str) -> str:
    """`text` with every secret key in it replaced: what may be shown of a file's content."""
    return _SECRET.sub(f"{SECRET_KEY.prefix}:(withheld)", text)


@dataclass(frozen=True, slots=True)
class Address:
    """Where something listens: a name or an IP address without brackets, and a TCP port from 1 to 65535."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it, as far as the text tells."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def parse_address(text: str) -> Address:
    """The address in `text`. Raises ValueError with what is wrong with it."""
    host, colon, port = text.rpartition(":")
    if not colon:
        raise ValueError("text without a port")
    if not re.fullmatch("[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise ValueError(f"the port {port!r}, which is not from 1 to 65535")
    if host.startswith("[") and host.endswith("]"):
        try:
            return Address(str(ipaddress.IPv6Address(host[1:-1])), int(port))
        except ValueError:
            raise ValueError(f"{host}, which is not an IPv6 address") from None
    if re.fullmatch(r"[0-9.]+", host):
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            raise ValueError(f"{host}, which is not an IPv4 address") from None
    elif not _HOST_NAME.fullmatch(host):
        raise ValueError(f"the host {host!r}")
    return Address(host, int(port))
