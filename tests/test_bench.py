"""What scripts/bench makes of two runs."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def results(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    for name in [name for name in sys.modules if name.partition(".")[0] == "benchmark"]:
        monkeypatch.delitem(sys.modules, name)
    from benchmark import results

    return results


def run(results, **rows):
    """One run, of rows named and given as (unit, gateway, proxy)."""
    made = [
        results.Row(name=name, label=name, unit=unit, gateway=results.figure([gateway]),
                    proxy=None if proxy is None else results.figure([proxy]))
        for name, (unit, gateway, proxy) in rows.items()
    ]  # fmt: skip
    machine = results.Machine(cpu="c", cores=2, memory_gb=1, system="s", python="p")
    return results.Run(
        command="c", date="d", commit="c", rounds=1, slice_s=1.0, machine=machine, versions={}, rows=tuple(made)
    )


@pytest.mark.parametrize(
    ("before", "now", "is_worse"),
    [
        pytest.param(("µs CPU per request", 100, 10), ("µs CPU per request", 130, 10), True, id="costs more"),
        pytest.param(("µs CPU per request", 100, 10), ("µs CPU per request", 124, 10), False, id="within a quarter"),
        pytest.param(("µs CPU per request", 100, 10), ("µs CPU per request", 300, 30), False, id="a slower machine"),
        pytest.param(("MB", 60, 20), ("MB", 90, 20), True, id="more memory"),
        pytest.param(("ms", 1, 1), ("ms", 9, 1), False, id="latency depends on who else is busy"),
        pytest.param(("requests/s", 90, 10), ("requests/s", 900, 10), False, id="more requests are no cost"),
        pytest.param(("µs CPU per event", 10, None), ("µs CPU per event", 99, None), False, id="no bare proxy"),
    ],
)
def test_only_a_ratio_of_a_cost_that_grew_by_more_than_a_quarter_is_worse(results, before, now, is_worse):
    found = results.worse(run(results, row=now), run(results, row=before))
    assert len(found) == int(is_worse)


def test_what_the_baseline_does_not_have_is_not_compared(results):
    assert results.worse(run(results, new=("MB", 90, 1)), run(results, old=("MB", 1, 1))) == []
