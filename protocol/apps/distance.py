"""Distance between two places in whole metres, from coordinates as decimal text: a rule for clients, without floats.

A programme counts metres, so whoever claims and whoever checks must get the same integer, in any language, on any
machine. The rule, exactly (all divisions round down, `//` of non-negative integers):

1. A coordinate is decimal text: an optional minus, 1 to 3 digits, optionally a point and 1 to 20 digits. It is cut
   after the ninth decimal (about 0.1 mm) to an integer of nano-degrees. Latitude lies in -90 to 90, longitude in -180
   to 180.
2. north = |latitude2 - latitude1|. east = |longitude2 - longitude1|, and 360 degrees less that if that is smaller.
3. middle = |latitude1 + latitude2| // 2, in radians x 10^18: middle * 3141592653589793238 // (180 * 10^9).
4. Its cosine x 10^18 by the series 1 - x^2/2! + x^4/4! - ...: each term is the one before * x // 10^18 * x // 10^18,
   divided by (2k - 1) * 2k, until one is zero.
5. With 111,195,080 mm for a degree (mean radius 6,371,008.8 m): n = north * 111195080 and e = east * 111195080 *
   cosine // 10^18, both in mm x 10^-9; metres = isqrt(n^2 + e^2) // 10^12.

This is the equirectangular projection on a sphere. Against the great circle (haversine, same radius) it is off by less
than 0.01% and one metre up to 50 km at latitudes up to 70 degrees, far less than the ellipsoid's own 0.5%; a test
measures it. It is rounded down, so a metre that was not covered is never counted. It is the straight line: a trip on
streets is longer.
"""

from __future__ import annotations

from math import isqrt
from typing import Final

from protocol.errors import BAD_ARGUMENTS, Refused

NANO: Final = 10**9
_FIXED: Final = 10**18
_PI_FIXED: Final = 3_141_592_653_589_793_238
_MM_PER_DEGREE: Final = 111_195_080
_DECIMALS_KEPT: Final = 9
_DECIMALS_MAX: Final = 20


def distance_m(latitude_1: str, longitude_1: str, latitude_2: str, longitude_2: str) -> int:
    """Metres between two places, rounded down. Raises Refused(bad_arguments), naming the coordinate."""
    first = parse_degrees(latitude_1, 90, "latitude")
    second = parse_degrees(latitude_2, 90, "latitude")
    apart = abs(parse_degrees(longitude_1, 180, "longitude") - parse_degrees(longitude_2, 180, "longitude"))
    north = abs(first - second) * _MM_PER_DEGREE
    cosine = cosine_fixed(abs(first + second) // 2)
    east = min(apart, 360 * NANO - apart) * _MM_PER_DEGREE * cosine // _FIXED
    return isqrt(north * north + east * east) // (NANO * 1000)


def parse_degrees(text: str, degrees_max: int, name: str = "coordinate") -> int:
    """Decimal degrees as nano-degrees, cut after nine decimals. Raises Refused(bad_arguments)."""
    whole, point, decimals = text.removeprefix("-").partition(".")
    if not (_digits(whole, 3) and (_digits(decimals, _DECIMALS_MAX) if point else True)):
        raise Refused(BAD_ARGUMENTS, f"{name}: expected decimal degrees such as 59.937743")
    nano = int(whole) * NANO + int(decimals[:_DECIMALS_KEPT].ljust(_DECIMALS_KEPT, "0"))
    # What is cut off must not hide that 90.0000000001 is outside.
    if nano > degrees_max * NANO or (nano == degrees_max * NANO and decimals.strip("0")):
        raise Refused(BAD_ARGUMENTS, f"{name}: expected at most {degrees_max} degrees")
    return -nano if text.startswith("-") else nano


def cosine_fixed(nano_degrees: int) -> int:
    """Cosine x 10^18 of an angle from 0 to 90 degrees in nano-degrees; some units off at most, never negative."""
    angle = nano_degrees * _PI_FIXED // (180 * NANO)
    total, term, twice_k, sign = _FIXED, _FIXED, 2, -1
    while term:
        term = term * angle // _FIXED * angle // _FIXED // ((twice_k - 1) * twice_k)
        total += sign * term
        twice_k, sign = twice_k + 2, -sign
    return max(0, total)


def _digits(text: str, length_max: int) -> bool:
    return 1 <= len(text) <= length_max and text.isascii() and text.isdecimal()
