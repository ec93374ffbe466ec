"""What is written in one turn of the loop leaves together, in its order, and what came alone at once."""

import asyncio

import pytest

from omniroute.outbox import MOST_WAITING, Outbox


@pytest.fixture
async def outbox():
    return Outbox(asyncio.get_running_loop())


@pytest.fixture
def written():
    return []


def put(outbox, written, *letters):
    for letter in letters:
        outbox.put(written.append, letter)


@pytest.mark.parametrize("coming", [0, 1], ids=["unasked", "asked for"])
async def test_what_comes_alone_is_written_at_once(outbox, written, coming):
    outbox.coming = coming
    put(outbox, written, "a")
    assert written == ["a"]


async def test_what_came_together_is_written_when_the_last_is_there(outbox, written):
    outbox.coming = 3
    put(outbox, written, "a", "b")
    assert written == []
    put(outbox, written, "c")
    assert written == ["a", "b", "c"]
    put(outbox, written, "d")
    assert written == ["a", "b", "c", "d"], "that was all of this turn"


async def test_who_has_nothing_to_write_keeps_nobody_waiting_beyond_the_turn(outbox, written):
    outbox.coming = 3
    put(outbox, written, "a", "b")
    outbox.coming = 1  # of the next turn
    await asyncio.sleep(0)
    assert written == ["a", "b"]
    put(outbox, written, "c")
    assert written == ["a", "b", "c"]


async def test_a_long_turn_is_written_in_parts(outbox, written):
    outbox.coming = MOST_WAITING + 2
    put(outbox, written, *range(MOST_WAITING - 1))
    assert written == []
    put(outbox, written, "last of the first part", "b")
    assert written == [*range(MOST_WAITING - 1), "last of the first part"]
    put(outbox, written, "c")
    assert written[MOST_WAITING:] == ["b", "c"]


async def test_what_waits_goes_before_what_follows(outbox, written):
    outbox.coming = 2
    put(outbox, written, "a")
    outbox._left = 0  # as after a turn whose end is still in line
    put(outbox, written, "b")
    assert written == ["a", "b"]


async def test_a_write_that_leads_to_another_comes_before_it(outbox, written):
    def answer(letter):
        written.append(letter)
        put(outbox, written, letter.upper())

    outbox.coming = 2
    outbox.put(answer, "a")
    outbox.put(answer, "b")
    assert written == ["a", "A", "b", "B"]


async def test_all_is_written_before_something_is_closed(outbox, written):
    outbox.coming = 9
    put(outbox, written, "a", "b")
    outbox.flush()
    assert written == ["a", "b"]


async def test_a_write_that_fails_costs_only_itself(outbox, written, capsys):
    def fail(letter):
        raise OSError("no room")

    outbox.coming = 3
    put(outbox, written, "a")
    outbox.put(fail, "b")
    put(outbox, written, "c")
    assert written == ["a", "c"]
    assert "no room" in capsys.readouterr().err


async def test_a_loop_has_one_and_another_loop_another(written):
    mine = Outbox.of(asyncio.get_running_loop())
    assert Outbox.of(asyncio.get_running_loop()) is mine
    other = asyncio.new_event_loop()
    assert Outbox.of(other) is not mine
    other.close()
    assert Outbox.of(asyncio.get_running_loop()) is not mine, "only the last one is kept"
