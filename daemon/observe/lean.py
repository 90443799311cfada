"""structlog without rich, for a process that lives for years and draws nothing.

structlog imports rich, where that is installed, for traces in colour. In a node these are 50 modules, some megabytes
and a tenth of its start, for what its log does not use (logs.py writes plain traces). The commands use rich.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, cast


def import_structlog_alone() -> None:
    """Import structlog so that it finds no rich. To be called before anything else imports either."""
    modules = cast("dict[str, Any]", sys.modules)  # None there makes an import fail (Python reference, 5.3.1)
    if "rich" in modules:
        return
    modules["rich"] = None
    try:
        import_module("structlog")
    finally:
        del modules["rich"]
