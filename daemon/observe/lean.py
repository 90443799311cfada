"""structlog without rich and asyncio, for a process that lives for years, draws nothing and runs on Trio.

structlog imports rich, where that is installed, for traces in colour, and asyncio for methods that are awaited there.
In a node these are 150 modules and some megabytes, for what its log does not use (logs.py writes plain traces). The
commands use rich.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any, cast


def import_structlog_alone() -> None:
    """Import structlog so that it finds no rich, and an asyncio without content.

    To be called before anything else imports one of them: what is there already stays. Whoever imports asyncio later
    gets the true one; what structlog has of it (`ainfo` and its like) does not work in this process.
    """
    modules = cast("dict[str, Any]", sys.modules)  # None there makes an import fail (Python reference, 5.3.1)
    stand_ins = {"rich": None, "asyncio": ModuleType("asyncio")}
    missing = {name: module for name, module in stand_ins.items() if name not in modules}
    modules.update(missing)
    try:
        import_module("structlog")
    finally:
        for name in missing:
            del modules[name]
