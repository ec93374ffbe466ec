import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from omniroute.ids import RandomLetters, new_ulid, sane_request_id


@pytest.mark.parametrize(
    ("now_s", "random", "expected"),
    [
        pytest.param(0.0, bytes(16), "0" * 26, id="all zero"),
        pytest.param(2**48 / 1000 - 0.001, b"\xff" * 16, "7" + "Z" * 25, id="all ones"),
        pytest.param(1469918176.385, bytes(16), "01ARYZ6S41" + "0" * 16, id="the time of the specification's example"),
        pytest.param(0.0, b"\x00" * 15 + b"\x1f", "0" * 25 + "Z", id="last five bits"),
    ],
)
def test_a_ulid_is_time_then_randomness_in_crockfords_alphabet(now_s, random, expected):
    assert new_ulid(clock=lambda: now_s, letters=RandomLetters(lambda _: random, len(random))) == expected


def test_ulids_sort_by_time_and_do_not_repeat():
    times = [1_700_000_000.0, 1_700_000_000.001, 1_700_000_001.0, 1_800_000_000.0]
    ids = [new_ulid(clock=lambda now=now: now) for now in times]
    assert ids == sorted(ids)
    assert len({new_ulid() for _ in range(1000)}) == 1000


class Counting:
    """A source whose bytes tell where in it they stood, and which blocks were asked for."""

    def __init__(self):
        self.asked = []

    def __call__(self, count):
        start = sum(self.asked)
        self.asked.append(count)
        return bytes((7 * number + number // 32) % 256 for number in range(start, start + count))


@pytest.mark.parametrize(
    ("counts", "asked"),
    [
        pytest.param([10] * 3, [32], id="three of one block"),
        pytest.param([16, 16, 1], [32, 32], id="a block used to its last byte"),
        pytest.param([10] * 4, [32, 32], id="what does not reach is not used"),
        pytest.param([40, 10], [40, 32], id="more than a block"),
    ],
)
def test_randomness_is_fetched_in_blocks_and_given_once(counts, asked):
    source = Counting()
    letters = RandomLetters(source, 32)
    given = [letters(count) for count in counts]
    assert [len(piece) for piece in given] == counts
    assert source.asked == asked
    assert len(set(given)) == len(given)


def test_threads_never_get_the_same_id():
    with ThreadPoolExecutor(8) as threads:
        ids = [id_ for found in threads.map(lambda _: [new_ulid() for _ in range(500)], range(8)) for id_ in found]
    assert len(set(ids)) == 4000


FORK = """
import os
from omniroute.ids import new_ulid

def draw():
    return new_ulid(clock=lambda: 0.0)

draw()
child = os.fork()
if child:
    os.waitpid(child, 0)
print(draw(), flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_a_forked_process_gives_other_ids():
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=True)
    of_child, of_parent = done.stdout.split()
    assert of_child != of_parent


@pytest.mark.parametrize(
    ("text", "sane"),
    [
        ("01ARZ3NDEKTSV4RRFFQ69G5FAV", True),
        ("req_1.2:3-4", True),
        ("a" * 128, True),
        ("a" * 129, False),
        ("", False),
        ("a b", False),
        ("a\n", False),
        ("a\r\nX-Evil: 1", False),
        ("é", False),
        ("٣", False),
        ("<script>", False),
    ],
)
def test_only_plain_request_ids_are_kept(text, sane):
    assert sane_request_id(text) is sane
