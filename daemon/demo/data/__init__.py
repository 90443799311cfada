"""Where the carried data lies: a folder of the package, also when it is installed. See README.md beside this."""

from __future__ import annotations

from pathlib import Path
from typing import Final

DOCUMENTS: Final = Path(__file__).parent / "epcis"
TRIPS: Final = Path(__file__).parent / "trips" / "oslo_bysykkel_2024_02.csv"
TRIPS_SYSTEM: Final = "oslobysykkel.no"
"""Part of the claim keys of these trips."""
