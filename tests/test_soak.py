"""A gateway under load for half a minute, and what would be called a problem in one that ran for a day."""

import contextlib
import sqlite3
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LINUX_ONLY = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="what a process holds is read from /proc")


@pytest.fixture(autouse=True)
def _scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))


@LINUX_ONLY
async def test_l9_a_gateway_under_a_mixed_load_holds_no_more_than_before_and_accounts_for_every_answer_once(tmp_path):
    from soaking.endurance import Load, soak
    from soaking.samples import Limits

    # the load is a third of the standing one, and stalls are not counted: the machine has other tests to run
    report = await soak(Load(seconds=20, rate=30, streams=40), tmp_path, limits=Limits(stalls=None))
    print(report)
    assert report.problems == []
    assert report.refreshes >= 2
    assert min(report.requests, report.good) > 500
    assert min(report.faults, report.left) > 3
    assert len(report.warm) > 10


def samples(*, hours=0.01, **changes):
    """Thirty samples in so many hours; `changes` say what each grows by from the first to the last."""
    from soaking.samples import Sample

    start = {"rss_mb": 90.0, "fds": 40, "sockets": 20, "threads": 6, "tasks": 30}
    return [
        Sample(
            at_s=3600 * hours * at / 29,
            **{name: type(value)(value + changes.get(name, 0) * at / 29) for name, value in start.items()},
        )
        for at in range(30)
    ]


@pytest.mark.parametrize(
    ("hours", "changes", "said"),
    [
        pytest.param(0.01, {}, None, id="steady"),
        pytest.param(0.01, {"rss_mb": 25}, None, id="a short run warms up"),
        pytest.param(0.01, {"rss_mb": 90}, "the RSS has grown by 62", id="too much for a short run"),
        pytest.param(24, {"rss_mb": 20}, None, id="less than a megabyte an hour"),
        pytest.param(24, {"rss_mb": 30}, "the RSS grows by 1.2 MB/h", id="more than a megabyte an hour"),
        pytest.param(24, {"fds": 60}, "fds went from", id="fds"),
        pytest.param(24, {"sockets": 60}, "sockets went from", id="sockets"),
        pytest.param(24, {"tasks": 60}, "tasks went from", id="tasks"),
        pytest.param(24, {"threads": 30}, "threads went from", id="threads"),
        pytest.param(24, {"fds": 5, "sockets": 5, "tasks": 5}, None, id="a little up and down"),
    ],
)
def test_what_grows_under_a_steady_load_is_a_problem(hours, changes, said):
    from soaking.samples import Limits, drifting

    problems = drifting(samples(hours=hours, **changes), Limits())
    assert [said is not None and problem.startswith(said) for problem in problems] == ([True] if said else [])


def test_a_run_that_is_too_short_to_judge_says_so():
    from soaking.samples import Limits, drifting

    assert drifting(samples()[:2], Limits()) == ["2 samples are too few to judge by"]


@pytest.mark.parametrize(
    ("changes", "connections", "what"),
    [
        pytest.param({}, 0, [], id="as before"),
        pytest.param({"fds": 30, "sockets": 30}, 30, [], id="idle connections to the upstream"),
        pytest.param({"fds": 30, "sockets": 30}, 5, ["fds", "sockets"], id="connections nobody has"),
        pytest.param({"tasks": 9}, 30, ["tasks"], id="tasks"),
        pytest.param({"threads": 9}, 30, ["threads"], id="threads"),
    ],
)
def test_what_is_held_when_the_load_is_over_is_a_problem(changes, connections, what):
    from soaking.samples import Limits, left_over

    both = samples(**changes)
    found = left_over(both[0], both[-1], Limits(), upstream_connections=connections)
    assert [problem.partition(":")[0] for problem in found] == what


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        pytest.param(["soak-0", "soak-1", "soak-2"], [], id="each once"),
        pytest.param(["soak-0", "soak-1", "soak-2", "soak-3"], [], id="one for a client that left"),
        pytest.param(["soak-0", "soak-2"], ["1 requests were answered and have no row, soak-1"], id="a lost row"),
        pytest.param(["soak-0", "soak-1", "soak-1", "soak-2"], ["1 requests have two rows, soak-1"], id="a row twice"),
        pytest.param(["soak-0", "soak-1", "soak-2", "soak-9"], ["a row for soak-9"], id="beyond the last"),
        pytest.param(["soak-0", "soak-1", "soak-2", "other"], ["a row for other"], id="a stranger's"),
    ],
)
def test_every_answer_has_one_row(tmp_path, ids, said):
    from soaking.clients import CUT, GOOD, LEFT, REFUSED, Ledger
    from soaking.endurance import misaccounted

    ledger = Ledger()
    for fate in (GOOD, REFUSED, CUT, LEFT):
        ledger.fates[ledger.begin()] = fate
    with contextlib.closing(sqlite3.connect(tmp_path / "requests.db")) as connection, connection:
        connection.execute("CREATE TABLE requests (request_id TEXT)")
        connection.executemany("INSERT INTO requests VALUES (?)", [(id_,) for id_ in ids])
    problems = misaccounted(tmp_path / "requests.db", ledger)
    assert len(problems) == len(said)
    assert all(problem.startswith(start) for problem, start in zip(problems, said, strict=True))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({}, [], id="sound"),
        pytest.param({"lost": 2}, ["2 requests got no answer"], id="lost"),
        pytest.param({"good": 80}, ["80 of 90 answers are good, 95% should be"], id="too few good ones"),
        pytest.param({"refreshes": 0}, ["no token was refreshed"], id="no refresh"),
        pytest.param({"stalls": 1}, ["the event loop stood still 1 times"], id="a stall"),
    ],
)
def test_a_report_names_what_is_not_sound(changes, said):
    import msgspec
    from soaking.endurance import Load, Report, unsound
    from soaking.samples import Limits

    from omniroute.loop_watch import Lag

    figures = {"requests": 100, "good": 88, "left": 10, "lost": 0, "refreshes": 3, "stalls": 0} | changes
    report = Report(load=Load(seconds=1), loop=Lag(stalls=figures.pop("stalls"), longest_s=0.4), **figures)
    problems = list(unsound(report, Limits()))
    assert len(problems) == len(said)
    assert all(problem.startswith(start) for problem, start in zip(problems, said, strict=True))
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report
