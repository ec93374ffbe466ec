import pytest

from omniroute.ids import new_ulid, sane_request_id


@pytest.mark.parametrize(
    ("now_s", "random", "expected"),
    [
        pytest.param(0.0, bytes(10), "0" * 26, id="all zero"),
        pytest.param(2**48 / 1000 - 0.001, b"\xff" * 10, "7" + "Z" * 25, id="all ones"),
        pytest.param(1469918176.385, bytes(10), "01ARYZ6S41" + "0" * 16, id="the time of the specification's example"),
        pytest.param(0.0, b"\x00" * 9 + b"\x1f", "0" * 25 + "Z", id="last five bits"),
    ],
)
def test_a_ulid_is_time_then_randomness_in_crockfords_alphabet(now_s, random, expected):
    assert new_ulid(clock=lambda: now_s, randomness=lambda count: random) == expected


def test_ulids_sort_by_time_and_do_not_repeat():
    times = [1_700_000_000.0, 1_700_000_000.001, 1_700_000_001.0, 1_800_000_000.0]
    ids = [new_ulid(clock=lambda now=now: now) for now in times]
    assert ids == sorted(ids)
    assert len({new_ulid() for _ in range(1000)}) == 1000


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
