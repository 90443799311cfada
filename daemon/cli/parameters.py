"""Types of command line values that several commands take."""

from __future__ import annotations

import difflib
import re
from typing import Any, Final

import click

from daemon.config.texts import ADDRESS_EXPECTED, PUBLIC_KEY, Address, parse_address
from daemon.config.values import Wrong, checked_name

_DIRECTORY_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class AddressType(click.ParamType[Address]):
    """host:port."""

    name = "host:port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        """The address, or a usage error that says what one looks like."""
        if isinstance(value, Address):
            return value
        try:
            return parse_address(value)
        except ValueError as error:
            self.fail(f"{value!r} is not {ADDRESS_EXPECTED} (found {error})", param, ctx)


class PublicKeyType(click.ParamType[bytes]):
    """ed25519: and 64 digits."""

    name = "public key"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bytes:
        """The key's 32 bytes, or a usage error that says what one looks like."""
        if isinstance(value, bytes):
            return value
        try:
            return PUBLIC_KEY.parse(value)
        except ValueError as error:
            self.fail(f"expected {PUBLIC_KEY.expected} (found {error})", param, ctx)


class NamedAddressType(click.ParamType[tuple[str, Address]]):
    """name=host:port."""

    name = "name=host:port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Address]:
        """The member's name and the address."""
        if isinstance(value, tuple):
            return value
        name, equals, address = value.partition("=")
        if not equals:
            self.fail(f"{value!r} has no =; write it as in bank=10.0.0.1:7100", param, ctx)
        return name, AddressType().convert(address, param, ctx)


class NameType(click.ParamType[str]):
    """The name of a network or a member."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name, or a usage error that says what one is."""
        try:
            return checked_name(value)
        except Wrong as wrong:
            self.fail(str(wrong), param, ctx)


class MembersType(click.ParamType[tuple[str, ...]]):
    """name,name,...: each becomes a directory's name, too."""

    name = "names"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """The names, each once."""
        if isinstance(value, tuple):
            return value
        names = tuple(part.strip() for part in value.split(","))
        for name in names:
            if not _DIRECTORY_NAME.fullmatch(name):
                self.fail(f"{name!r} is not a name of letters, digits, '.', '_' and '-', 64 at most", param, ctx)
        if len(set(names)) < len(names):
            self.fail("a name stands there twice", param, ctx)
        return names


class ParameterType(click.ParamType[tuple[str, int]]):
    """parameter=value of `[genesis.parameters]`; bounds are checked with the others."""

    name = "parameter=value"

    def __init__(self, known: tuple[str, ...]) -> None:
        self.known = known

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        """The parameter's name and value."""
        if isinstance(value, tuple):
            return value
        name, _, number = value.partition("=")
        if name not in self.known:
            close = difflib.get_close_matches(name, self.known, n=1)
            nearest = f"; the nearest is {close[0]}" if close else ""
            self.fail(f"no parameter is named {name!r}{nearest}. All: {', '.join(self.known)}", param, ctx)
        if not re.fullmatch("[0-9]{1,19}", number):
            self.fail(f"{name} wants an integer, as in {name}=100", param, ctx)
        return name, int(number)
