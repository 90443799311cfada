"""Distance in integer metres, against a haversine in floats."""

from __future__ import annotations

from math import asin, cos, radians, sin, sqrt

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from protocol.apps.distance import NANO, cosine_fixed, distance_m, parse_degrees
from protocol.errors import Refused

RADIUS_M = 6_371_008.8


def haversine_m(a: float, b: float, c: float, d: float) -> float:
    north, east = radians(c - a), radians(d - b)
    h = sin(north / 2) ** 2 + cos(radians(a)) * cos(radians(c)) * sin(east / 2) ** 2
    return 2 * RADIUS_M * asin(sqrt(h))


def decimal(nano: int) -> str:
    return f"{'-' if nano < 0 else ''}{abs(nano) // NANO}.{abs(nano) % NANO:09d}"


@given(
    st.integers(-70 * NANO, 70 * NANO),
    st.integers(-180 * NANO, 180 * NANO),
    st.integers(-450_000_000, 450_000_000),
    st.integers(-1_300_000_000, 1_300_000_000),
)
def test_it_is_as_near_the_great_circle_as_is_said(latitude: int, longitude: int, north: int, east: int) -> None:
    """Up to 50 km at latitudes up to 70 degrees: within 0.01% and one metre, which is below 0.5%."""
    there, across = latitude + north, (longitude + east + 180 * NANO) % (360 * NANO) - 180 * NANO
    assume(abs(there) <= 70 * NANO)
    exact = haversine_m(latitude / NANO, longitude / NANO, there / NANO, across / NANO)
    assume(exact <= 50_000)
    got = distance_m(decimal(latitude), decimal(longitude), decimal(there), decimal(across))
    assert exact * 0.9999 - 1 <= got <= exact * 1.0001


@given(st.integers(0, 90 * NANO))
def test_the_cosine_is_good_to_many_digits(nano: int) -> None:
    assert abs(cosine_fixed(nano) / 1e18 - cos(radians(nano / NANO))) < 1e-14


@pytest.mark.parametrize(
    "places, metres",
    [
        (("59.937743", "10.751648", "59.929045", "10.716926"), 2162),  # the first trip of the Oslo file
        (("59.937743", "10.751648", "59.937743", "10.751648"), 0),
        (("0", "0", "0", "1"), 111_195),
        (("0", "179.5", "0", "-179.5"), 111_195),
        (("-0.5", "0", "0.5", "0"), 111_195),
        (("90", "0", "90.000", "180"), 0),
        (("59.91014291324254", "10.752003700187942", "59.91014291324254", "10.7520037"), 0),
    ],
)
def test_known_distances(places: tuple[str, str, str, str], metres: int) -> None:
    assert distance_m(*places) == metres
    assert distance_m(places[2], places[3], places[0], places[1]) == metres, "there and back are the same"


@pytest.mark.parametrize(
    "text",
    # The one before "0x1" is a digit to Python, and none of ours.
    ["", "-", ".5", "5.", "+5", " 5", "5 ", "1e1", "1,5", "\u0665", "0x1", "1_0", "--1", "91", "-91", "1000", "nan"],
)
def test_what_is_not_a_latitude_is_refused(text: str) -> None:
    with pytest.raises(Refused) as caught:
        distance_m(text, "0", "0", "0")
    assert caught.value.code == "bad_arguments"
    assert "latitude" in caught.value.words


@pytest.mark.parametrize("text", ["90.0000000001", "1." + "0" * 21])
def test_what_is_cut_off_is_judged_too(text: str) -> None:
    with pytest.raises(Refused):
        parse_degrees(text, 90)


def test_decimals_are_cut_after_the_ninth() -> None:
    assert parse_degrees("59.91014291399999", 90) == 59_910_142_913
    assert parse_degrees("-0.0000000019", 90) == -1
    assert parse_degrees("90.0000000000", 90) == 90 * NANO
