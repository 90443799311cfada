"""Plain Ed25519 arithmetic (RFC 8032, 5.1): to make signatures that no library makes, and to judge by L-3 itself.

Slow and not constant-time; integers and affine points, nothing shared with the code it checks.
"""

from __future__ import annotations

from hashlib import sha512

Point = tuple[int, int]

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
IDENTITY: Point = (0, 1)


def recover(y: int, odd: int) -> Point | None:
    """The point with this y and this parity of x, if there is one."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - square) % P:
        return None
    return (P - x if x % 2 != odd and x else x, y)


def add(a: Point, b: Point) -> Point:
    """Sum of two points; the complete formula."""
    k = D * a[0] * b[0] * a[1] * b[1]
    x = (a[0] * b[1] + b[0] * a[1]) * pow(1 + k, -1, P)
    y = (a[1] * b[1] + a[0] * b[0]) * pow(1 - k, -1, P)
    return (x % P, y % P)


def multiple(n: int, point: Point) -> Point:
    """n times a point, n >= 0."""
    total = IDENTITY
    while n:
        if n & 1:
            total = add(total, point)
        point = add(point, point)
        n >>= 1
    return total


def encoded(point: Point) -> bytes:
    """The canonical 32 bytes of a point."""
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def decoded(data: bytes) -> Point | None:
    """The point that the bytes canonically encode, if any (RFC 8032, 5.1.3)."""
    value = int.from_bytes(data, "little")
    y, odd = value & (1 << 255) - 1, value >> 255
    if y >= P:
        return None
    point = recover(y, odd)
    return point if point is not None and encoded(point) == data else None


def order_scalar() -> int:
    """The order of the base point."""
    return L


_BASE = recover(4 * pow(5, -1, P) % P, 0)
assert _BASE is not None
BASE: Point = _BASE


def _generator_of_order_8() -> Point:
    y = 2
    while True:
        point = recover(y, 0)
        if point is not None:
            low = multiple(L, point)
            if multiple(4, low) != IDENTITY:
                return low
        y += 1


_EIGHT = _generator_of_order_8()
LOW_ORDER: tuple[Point, ...] = tuple(multiple(n, _EIGHT) for n in range(8))
"""The eight points of low order; 0 is the identity, 4 has order 2, 2 and 6 order 4, the odd ones order 8."""


def challenge(first: bytes, public: bytes, message: bytes) -> int:
    """h of RFC 8032, reduced."""
    return int.from_bytes(sha512(first + public + message).digest(), "little") % L


def sign_unusually(
    secret: int,
    message: bytes,
    *,
    key: bytes | None = None,
    low_order_part: Point = IDENTITY,
    nonce: int = 987654321,
    first: bytes | None = None,
) -> tuple[bytes, bytes]:
    """(public key, signature) with what is unusual as told: another key, a low-order part of R, other bytes for R."""
    public = encoded(multiple(secret, BASE)) if key is None else key
    first = encoded(add(multiple(nonce, BASE), low_order_part)) if first is None else first
    response = (nonce + challenge(first, public, message) * secret) % L
    return public, first + response.to_bytes(32, "little")


def valid_by_l3(public: bytes, message: bytes, signature: bytes) -> bool:
    """L-3, word for word."""
    a = decoded(public)
    if a is None or a == IDENTITY or multiple(L, a) != IDENTITY or len(signature) != 64:
        return False
    first, response = signature[:32], int.from_bytes(signature[32:], "little")
    if response >= L or first == encoded(IDENTITY):
        return False
    h = challenge(first, public, message)
    minus_a = (-a[0] % P, a[1])
    return encoded(add(multiple(response, BASE), multiple(h, minus_a))) == first
