"""What a person sees: widths, alignment, progress without a terminal."""

from __future__ import annotations

import io

import pytest

from daemon.demo.telling import BAR_COLUMNS, Standing, Teller, bar, counted


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_nothing_is_wider_than_the_terminal(out: io.StringIO, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    teller = Teller(out, is_terminal=False)
    teller.chapter("A chapter")
    teller.say("words and " * 60)
    teller.figure(1_234_567, "things that were counted, and more words about them " * 3)
    teller.table([("a", "b"), ("first", "words " * 40)])
    lines = out.getvalue().splitlines()
    assert max(len(line) for line in lines) <= min(columns, 100)
    assert len(lines) > 10


def test_numbers_are_aligned_to_the_right(out: io.StringIO) -> None:
    teller = Teller(out, is_terminal=False)
    teller.figure(5, "one")
    teller.figure(12_345, "two")
    teller.figure("23 ms", "three")
    teller.table([("member", "documents", "steps"), ("city", "9", "")], right=[1])
    assert out.getvalue().splitlines() == [
        "           5  one",
        "      12,345  two",
        "       23 ms  three",
        "   member  documents  steps",
        "   city            9",
    ]


def test_chapters_count_and_plain_text_has_no_escapes(out: io.StringIO) -> None:
    teller = Teller(out, is_terminal=False)
    teller.chapter("one")
    teller.chapter("two")
    assert out.getvalue() == "\n1  one\n\n2  two\n"
    drawn = io.StringIO()
    Teller(drawn, is_terminal=True).title("bold")
    assert drawn.getvalue() == "\x1b[1mbold\x1b[0m\n"


def test_bars_and_counts() -> None:
    assert bar(0, 10) == "░" * BAR_COLUMNS
    assert bar(10, 10) == bar(11, 10) == "█" * BAR_COLUMNS
    assert bar(0, 0) == "░" * BAR_COLUMNS
    assert counted(Standing(7, 5_000, "done", "")) == "    7 of 5,000 done"


async def test_progress_is_told_every_two_seconds(out: io.StringIO, autojump_clock: object) -> None:
    import trio

    teller = Teller(out, is_terminal=False)
    done = 0

    def standing() -> Standing:
        return Standing(done, 9, "done", "more")

    async with teller.progress(standing):
        await trio.sleep(1)
        done = 4
        await trio.sleep(2)
    assert out.getvalue() == "   4 of 9 done\n      more\n"


async def test_progress_is_drawn_on_a_terminal_and_gone_afterwards(out: io.StringIO) -> None:
    teller = Teller(out, is_terminal=True)
    async with teller.progress(lambda: Standing(1, 2, "done", "heights: 7")):
        pass
    teller.say("after it")
    drawn = out.getvalue()
    assert "1 of 2 done" in drawn
    assert drawn.endswith("   after it\n")
