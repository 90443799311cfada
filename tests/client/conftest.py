"""The plugin's fixtures, as an application asks for them. (Only a top conftest may name plugins; this is not one.)"""

from __future__ import annotations

from daemon.client.pytest_plugin import papilio_account, papilio_network

__all__ = ["papilio_account", "papilio_network"]
