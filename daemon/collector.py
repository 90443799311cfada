"""How often Python looks for garbage that refers to itself.

Nearly all that a node makes dies by itself, when its last reference goes; the collector finds the little that does not.
Left alone it looks after every 700 new containers, and now and then at everything there is, modules and configuration
included: a tenth of the time of execution, and of a run of the simulator. So a process that has started sets aside for
good what it holds by then, and looks after `SELDOM` containers. What dies in cycles meanwhile is some megabytes.
"""

from __future__ import annotations

import gc
from typing import Final

SELDOM: Final = 20_000
"""New containers between two looks, of a process that lives for years: some 2 MB."""
RARELY: Final = 100_000
"""The same where processes end within hours."""


def look_seldom(containers: int = SELDOM) -> None:
    """Look seldom from now on. At a start first of all: more than a tenth of loading modules are looks at them."""
    gc.set_threshold(containers, 20, 100)


def calm_collector(containers: int = SELDOM) -> None:
    """Look seldom from now on, and never again at what there is already."""
    gc.freeze()
    look_seldom(containers)
