"""`papilio audit` beside a running node, over its API, and of copies that were altered (issue: exit codes, words)."""

from __future__ import annotations

import json
import shutil
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from daemon.cli.exits import ExitCode
from daemon.client import evidence
from daemon.client.local import LocalNetwork, free_port
from tests.audit.kit import alter_receipt, flip
from tests.cli.calling import Call


@pytest.fixture(scope="module")
def height(papilio_network: LocalNetwork) -> int:
    """Some blocks there are."""
    with papilio_network.client() as client:
        for number in range(3):
            assert client.transact(papilio_network.account, [evidence.record_of(b"audited %d" % number)]).ok
        return int(client.node()["executed_height"])


@pytest.fixture
def copy(papilio_network: LocalNetwork, height: int, tmp_path: Path) -> Path:
    """What somebody was given: the data of a node, copied."""
    assert height
    data = papilio_network.directory / "dev" / "data"
    shutil.copytree(data / "segments", tmp_path / "copy" / "segments")
    shutil.copytree(data / "state", tmp_path / "copy" / "state", ignore=shutil.ignore_patterns("*lock*"))
    return tmp_path / "copy"


def test_a_running_node_and_its_api(call: Call, papilio_network: LocalNetwork, height: int) -> None:
    directory = papilio_network.directory / "dev"
    said = call("audit", directory, "--against", papilio_network.endpoint)
    assert said.code == ExitCode.DONE, said.out
    assert said.out.startswith("SOUND: everything follows from the network's genesis")
    assert f"{papilio_network.endpoint}: what the node shows, to height" in said.out
    assert "current values too" in said.out
    found = call("audit", directory, "--json").json
    assert found["holds"]
    assert found["height"] >= height
    assert found["first_difference"] is None


def test_a_damaged_copy(call: Call, copy: Path, papilio_network: LocalNetwork) -> None:
    flip(min((copy / "segments").glob("*.seg")), 300)
    said = call("audit", copy, "--network", papilio_network.network_file)
    assert said.code == ExitCode.UNVERIFIED
    assert said.out.startswith("NOT SOUND")
    lines = dict(line.split(maxsplit=1) for line in said.out.splitlines() if line.startswith("  "))
    assert (lines["height"], lines["record"], lines["field"]) == ("1", "block", "check")
    assert lines["expected"] != lines["found"]


def test_an_altered_state(call: Call, copy: Path, papilio_network: LocalNetwork) -> None:
    alter_receipt(copy / "state", 1, code="forbidden")
    said = call("audit", copy, "--network", papilio_network.network_file, "--json")
    assert said.code == ExitCode.DIFFERS
    first = said.json["first_difference"]
    assert (first["of"], first["field"], first["expected"], first["found"]) == ("state", "code", "ok", "forbidden")
    assert call("audit", copy, "--network", papilio_network.network_file, "--no-state").code == ExitCode.DONE


@contextmanager
def lying(endpoint: str, alter: Callable[[str, Any], Any]) -> Iterator[str]:
    """A node that says the same as another, altered."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with urllib.request.urlopen(endpoint + self.path) as answer:
                body = json.dumps(alter(self.path, json.load(answer))).encode()
                self.send_response(200)
                self.send_header("Content-Type", answer.headers["Content-Type"])
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class calls it so
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("field", ["hash", "state_root"])
def test_a_node_that_shows_another_history(call: Call, papilio_network: LocalNetwork, height: int, field: str) -> None:
    def alter(path: str, value: Any) -> Any:
        for block in value.get("blocks", []) if path.startswith("/v1/blocks?") else []:
            if block["height"] == 2:
                block[field] = "0" * 64
        return value

    assert height >= 2
    with lying(papilio_network.endpoint, alter) as url:
        said = call("audit", papilio_network.directory / "dev", "--against", url, "--json")
    assert said.code == ExitCode.DIFFERS, said.out
    first = said.json["first_difference"]
    assert (first["of"], first["height"], first["field"], first["found"]) == ("against", 2, field, "0" * 64)
    assert first["where"] == url


def test_what_is_wrong_with_the_question(
    call: Call, papilio_network: LocalNetwork, made_network: Path, tmp_path: Path
) -> None:
    directory = papilio_network.directory / "dev"
    nobody = f"http://127.0.0.1:{free_port()}"
    assert call("audit", directory, "--against", nobody).code == ExitCode.UNREACHABLE
    other = call("audit", directory, "--network", made_network)
    assert (other.code, "is of network" in other.err) == (ExitCode.CONFIGURATION, True)
    assert call("audit", tmp_path).code == ExitCode.CONFIGURATION
    assert call("audit", directory, "--height", "999999").code == ExitCode.CONFIGURATION


def test_data_that_lies_elsewhere(call: Call, copy: Path, papilio_network: LocalNetwork, tmp_path: Path) -> None:
    """node.toml says where."""
    node = tmp_path / "node"
    node.mkdir()
    settings = (papilio_network.directory / "dev" / "node.toml").read_text()
    assert 'network = "' in settings
    lines = [line for line in settings.splitlines() if not line.startswith(("network =", "data_directory ="))]
    told = f'network = "{papilio_network.network_file}"\ndata_directory = "{copy}"\n'
    (node / "node.toml").write_text(told + "\n".join(lines) + "\n")
    assert call("audit", node).code == ExitCode.DONE
