"""The command line `papilio`: one file a command group, imported when it is called.

`COMMANDS` is the table of all commands: adding one is adding a line. `main` is where every command ends: what it
raises becomes words on standard error (with `--json` also one JSON value on standard output) and an exit code of
exits.py. A trace is shown only for a fault of ours.

Commands get what they work on as arguments and files, and no secret ever as an argument or from the environment.
May import: everything in `daemon`, late.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from importlib import import_module
from typing import Final, NamedTuple

import click

from daemon.cli.exits import Ended, ExitCode
from daemon.cli.output import JSON_WANTED
from protocol.errors import BrokenInvariant, OperatorFault, PapilioError


class Entry(NamedTuple):
    """A command: where it is (`module:name`), and what it does in a few words."""

    place: str
    words: str


COMMANDS: Final = {
    "demo": Entry("daemon.cli.demo:demo", "Run a network of four nodes here, and a real case on it."),
    "key": Entry("daemon.cli.key:key", "Make key files and show their public half."),
    "network": Entry("daemon.cli.network:network", "Create a network, on this machine or from members' cards."),
    "node": Entry("daemon.cli.node:node", "Create a node on its own machine, and join it to a network."),
    "run": Entry("daemon.cli.run:run", "Run a node."),
    "config": Entry("daemon.cli.config:config", "Check, show and explain configuration files."),
    "dev": Entry("daemon.cli.dev:dev", "Run a network of one, to develop applications with."),
    "backup": Entry("daemon.cli.backup:backup", "Copy a node, also while it runs; never its journal."),
    "restore": Entry("daemon.cli.backup:restore", "Make a node of a backup."),
    "status": Entry("daemon.cli.status:status", "Show how a node is."),
    "submit": Entry("daemon.cli.submit:submit", "Sign an operation, send it, wait for its receipt."),
    "members": Entry("daemon.cli.members:members", "Show and change who takes part in the network."),
    "tx": Entry("daemon.cli.ledger:tx", "Show what became of a transaction."),
    "block": Entry("daemon.cli.ledger:block", "Show a final block."),
    "account": Entry("daemon.cli.ledger:account", "Show the keys and transactions of an account."),
    "events": Entry("daemon.cli.events:events", "Follow what becomes final."),
    "proof": Entry("daemon.cli.proof:proof", "Get, show and verify proofs that hold without any node."),
    "audit": Entry("daemon.cli.audit:audit", "Check a node's history from its files, and compare it with another."),
    "evidence": Entry("daemon.cli.evidence:evidence", "Show and check what proves that a validator signed twice."),
    "restart": Entry(
        "daemon.cli.restart:restart", "Go on when more than a third of the voting power is lost for good."
    ),
    "store": Entry("daemon.cli.store:store", "Check what a node keeps on disk, and put right what is damaged."),
    "bench": Entry("daemon.cli.bench:bench", "Measure a network of real nodes on this machine."),
    "sim": Entry("daemon.cli.sim:sim", "Run networks in the simulator: scenarios, faults, seeds."),
    "lab": Entry("daemon.cli.lab:lab", "Run scenarios on real processes, through a fault proxy."),
    "version": Entry("daemon.cli.version:version", "Show versions of program, protocol and libraries."),
    "completion": Entry("daemon.cli.completion:completion", "Print completion for a shell."),
}

HELP: Final = """Papilio: a permissioned ledger that institutions run together.

Every command has --help with an example. Results go to standard output, words about them to standard error; --json
gives programs one JSON value."""


class Commands(click.Group):
    """The table as a click group: a command's module is imported when it is called, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the table, which is the order in which a newcomer needs them."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].place.partition(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command), f"{cmd_name} is no command"
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """From the table: help about all commands imports none of them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.words) for name, entry in COMMANDS.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The exit codes."""
        del ctx
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(int(code)), code.meaning) for code in ExitCode])


@click.group(cls=Commands, help=HELP, context_settings={"help_option_names": ["-h", "--help"]})
def papilio() -> None:
    """All commands; see HELP."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and give its exit code."""
    wanted: set[str] = set()
    try:
        return _run(arguments, wanted)
    except Ended as ended:
        return _end(ended, wanted)
    except OperatorFault as fault:
        facts = getattr(fault, "facts", {})  # asked for by name: its class would bring pydantic into every command
        return _end(Ended(fault.words, code=fault.code, exit_code=ExitCode.CONFIGURATION, **facts), wanted)
    except BrokenPipeError:
        # Who read our output has gone, as in `papilio ... | head`; nothing more can be told, at exit neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED
    except Exception as fault:  # noqa: BLE001 - the last door: whatever comes here is a fault of ours
        if isinstance(fault, PapilioError) and not isinstance(fault, BrokenInvariant):
            return _end(Ended(fault.words, code=fault.code), wanted)
        traceback.print_exc()
        words = f"this is a fault of papilio, not yours; please report it with the lines above ({fault})"
        return _end(Ended(words, code="broken_invariant", exit_code=ExitCode.BROKEN), wanted)


def _run(arguments: list[str] | None, wanted: set[str]) -> int:
    """Click's part: `wanted` hears of `--json`. A command may return an exit code; None means done."""
    try:
        ended = papilio.main(arguments, prog_name="papilio", standalone_mode=False, obj=wanted)
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.Abort:
        return _end(Ended("interrupted", code="interrupted", exit_code=ExitCode.INTERRUPTED), wanted)
    except click.ClickException as fault:
        fault.show()
        return ExitCode.USAGE
    return ended if isinstance(ended, int) else ExitCode.DONE


def _end(ended: Ended, wanted: set[str]) -> int:
    if JSON_WANTED in wanted:
        error = {"code": ended.code, "words": ended.words, **ended.facts}
        print(json.dumps({"error": error}, ensure_ascii=False, indent=2))
    print(f"papilio: {ended.words}", file=sys.stderr)
    return ended.exit_code
