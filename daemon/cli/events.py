"""`papilio events`: what becomes final, as it does."""

from __future__ import annotations

import json
import sys

import click

from daemon.cli.exits import ExitCode
from daemon.cli.output import json_option, say, wants_json
from daemon.cli.remote import ACCOUNT_TYPE, client_of, node_options, safe


@click.command()
@click.option("--after", type=click.IntRange(0), help="Begin after this log index; by default with what comes next.")
@click.option("--from-start", is_flag=True, help="Begin with the network's first transaction.")
@click.option("--app", help="Only transactions with an operation of this application.")
@click.option("--account", type=ACCOUNT_TYPE, help="Only transactions of this account.")
@click.option("--count", type=click.IntRange(1), help="End after so many.")
@node_options
@json_option
def events(
    after: int | None,
    from_start: bool,
    app: str | None,
    account: bytes | None,
    count: int | None,
    nodes: tuple[str, ...],
    timeout_seconds: float,
) -> int:
    """Follow final transactions, one a line, until Ctrl-C; with --json one JSON value a line.

    A cut is nothing to care about: it goes on after the last one, at another node if several are given. To go on in
    another run, give --after the log index of the last line.

    \b
    Example:
        papilio events --from-start --app evidence
    """
    if from_start and after is not None:
        raise click.UsageError("--from-start and --after say two things")
    position: int | None = None
    with client_of(nodes) as client:
        begin = after if from_start or after is not None else client.position(timeout_seconds=timeout_seconds)
        try:
            with client.events(begin, app=app, account=account, patience_seconds=timeout_seconds) as stream:
                for number, event in enumerate(stream, 1):
                    _show(dict(event.raw), event.position)
                    position = event.position
                    if number == count:
                        break
        except KeyboardInterrupt:
            if position is not None:
                say(f"To go on: papilio events --after {position}")
            return ExitCode.DONE
    return ExitCode.DONE


def _show(raw: dict[str, object], position: int) -> None:
    if wants_json():
        print(json.dumps(raw, ensure_ascii=False))
    else:
        from protocol.proofs.explain import utc_text

        time_ms, listed = raw["time_ms"], raw["operations"]
        assert isinstance(time_ms, int)
        assert isinstance(listed, list)
        names = sorted({f"{item['app']}.{item['name']}" for item in listed})
        what = safe(", ".join(names)) + (f" ({len(listed)} operations)" if len(listed) > 1 else "")
        print(f"{position:>8}  {utc_text(time_ms)}  {raw['code']:<20}  {raw['transaction']}  {what}")
    sys.stdout.flush()
