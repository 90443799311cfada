from collections.abc import Callable, Mapping

SOURCE: str
"""SHA-256 of the C file, in hex."""

def descend(
    get: Callable[[bytes], bytes | None],
    data: bytes | None,
    changes: Mapping[bytes, bytes | None],
    path_of: Callable[[bytes], bytes] | None,
    sha256: Callable[[bytes], object],
    tags: tuple[bytes, ...],
    error: type[Exception],
    /,
) -> tuple[bytes | None, bytes | None, dict[bytes, bytes | None]]: ...
