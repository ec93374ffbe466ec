"""What scripts/bench makes of runs: what is worse than before, which goals are met, and the picture of what grows."""

import contextlib
import importlib.machinery
import importlib.util
import itertools
import sqlite3
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
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
    assert results.worse(run(results, new=("MB", 90, 1)), run(results, old=("MB", 1, 1))) == {}


def test_the_baseline_of_the_gate_holds_every_cost_that_it_measures(results):
    baseline = msgspec.json.decode((ROOT / "scripts/benchmark/baseline.json").read_bytes(), type=results.Run)
    gated = ("relay-1k", "relay-100k", "relay-burst", "translate-1k", "translate-100k", "translate-burst")
    assert {row.name for row in baseline.rows if row.unit.startswith("µs")} == set(gated)
    dearer = [msgspec.structs.replace(row, gateway=results.figure([row.gateway.median * 1.3])) for row in baseline.rows]
    assert set(results.worse(msgspec.structs.replace(baseline, rows=tuple(dearer)), baseline)) == set(gated)
    assert results.worse(baseline, baseline) == {}


# --- goals


@pytest.mark.parametrize(
    ("row", "verdict", "measured"),
    [
        pytest.param({"relay-1k": ("µs CPU per request", 120, 20)}, "aim met", "6.00 × bare", id="on the aim"),
        pytest.param({"relay-1k": ("µs CPU per request", 150, 20)}, "met", "7.50 × bare", id="a ratio"),
        pytest.param({"relay-1k": ("µs CPU per request", 161, 20)}, "missed", "8.05 × bare", id="too much"),
        pytest.param({"relay-1k": ("µs CPU per request", 160.05, 20)}, "met", "8.00 × bare", id="as it is shown"),
        pytest.param({"alone-json-p99": ("ms", 0.9, 0.001)}, "met", "0.90 ms", id="a time is what it is"),
        pytest.param({"rss-streams-500": ("MB", 20, 20)}, "met", "20.0 MB", id="without an aim"),
        pytest.param({"rss-streams-100": ("MB", 20, 20)}, "not measured", "–", id="at another size"),
        pytest.param({"growth-logged-1000000": ("µs CPU per request", 12, 10)}, "missed", "1.20 × an empty store", id="another ratio"),
    ],
)  # fmt: skip
def test_a_goal_is_met_when_the_figure_is_no_more_than_the_target(results, row, verdict, measured):
    from benchmark import goals

    name = next(iter(row)) if next(iter(row)) != "rss-streams-100" else "rss-streams-500"
    lines = dict(zip((goal.row for goal in goals.GOALS), goals.table(run(results, **row)), strict=True))
    assert (lines[name][4], lines[name][3]) == (verdict, measured)
    assert [line[4] for goal, line in lines.items() if goal != name] == ["not measured"] * (len(lines) - 1)


def test_a_whole_run_measures_every_goal(results):
    """The sizes in the names of its figures are those of the goals."""
    from benchmark import goals
    from benchmark.measure import SLICES

    bench = importlib.machinery.SourceFileLoader("bench", str(ROOT / "scripts/bench"))
    plan = importlib.util.module_from_spec(importlib.util.spec_from_loader("bench", bench))
    bench.exec_module(plan)
    sized = {
        f"growth-logged-{plan.FULL.logged}",
        f"rss-streams-{plan.FULL.streams}",
        f"rss-bodies-{plan.FULL.large_bodies}",
        f"rss-client-{plan.FULL.idle_clients[-1]}",
    }
    fixed = {
        "slow-streams",
        "slow-delay-p50",
        "slow-delay-p99",
        "alone-json-p50",
        "alone-json-p99",
        "start",
        "rss-idle",
    }
    assert {goal.row for goal in goals.GOALS} - {item.name for item in SLICES} == sized | fixed
    assert set(plan.GATED) <= {item.name for item in SLICES}


# --- what grows


def points(results, curve, costs, proxies=None):
    return [
        results.Row(name=f"growth-{curve}-{at}", label=str(at), unit="µs", gateway=results.figure([cost]),
                    proxy=results.figure([proxies[at]]) if proxies else None, curve=curve, at=at)
        for at, cost in costs.items()
    ]  # fmt: skip


def drawn(results, rows):
    """(line per class, texts) of the picture."""
    from benchmark.picture import picture

    root = ET.fromstring(picture(rows))
    space = "{http://www.w3.org/2000/svg}"
    lines = {
        line.get("class"): [tuple(map(float, place.split(","))) for place in line.get("points").split()]
        for line in root.iter(f"{space}polyline")
    }
    return lines, [text.text for text in root.iter(f"{space}text")]


def test_a_cost_that_does_not_grow_is_a_level_line_through_every_point(results):
    lines, texts = drawn(results, points(results, "accounts", {1: 200, 100: 200, 1000: 200}))
    (x1, y1), (x2, y2), (x3, y3) = lines["gateway"]
    assert y1 == y2 == y3
    assert (x2 - x1) / (x3 - x1) == pytest.approx(2 / 3, abs=0.01)  # by powers of ten
    assert {"Accounts", "accounts of the provider", "µs per request", "1", "100", "1k", "0"} <= set(texts)


def test_linear_growth_is_a_straight_line_beside_the_bare_proxy(results):
    costs = {10**power: 10.0 ** (power - 1) for power in range(3, 7)}
    lines, _ = drawn(results, points(results, "bodies", costs, {at: cost / 10 for at, cost in costs.items()}))
    for line in (lines["gateway"], lines["proxy"]):
        steps = [(x2 - x1, y2 - y1) for (x1, y1), (x2, y2) in itertools.pairwise(line)]
        assert steps == [pytest.approx(steps[0], abs=0.2)] * 3
        assert steps[0][1] < 0  # upwards
    assert lines["proxy"][0][1] > lines["gateway"][0][1]


def test_a_panel_is_drawn_for_what_was_measured_and_no_other(results):
    _, texts = drawn(
        results, [*points(results, "logged", {0: 100, 10**6: 110}), *points(results, "plugins", {10: 5, 60: 5})]
    )
    assert {"Logged requests", "Plugins", "1M"} <= set(texts)
    assert not {"Streams", "Body"} & set(texts)
    assert drawn(results, [])[0] == {}


def test_the_picture_shows_the_run_beside_it(results):
    from benchmark.picture import picture
    from docs_performance import PICTURE, SOURCE

    run = msgspec.json.decode(SOURCE.read_bytes(), type=results.Run)
    assert PICTURE.read_text(encoding="utf-8") == picture(run.rows), "run scripts/docs_performance.py"


def test_a_store_is_filled_with_copies_that_keep_the_rules_of_its_schema(results, tmp_path):
    from benchmark.growth import fill

    from omniroute_telemetry_sqlite.rows import INSERT, migrate

    with contextlib.closing(sqlite3.connect(tmp_path / "requests.db")) as database:
        migrate(database)
        texts = [
            "r",
            "r",
            1e9,
            *["t"] * 8,
            200,
            "ok",
            None,
            0,
            1,
            *[1] * 6,
            0.1,
            0.2,
            1,
            1,
            None,
            "[]",
            "[]",
            None,
            None,
        ]
        with database:
            database.execute(INSERT, texts)
        fill(tmp_path, 1000)
        counts = database.execute(
            "SELECT COUNT(*), COUNT(DISTINCT request_id), COUNT(DISTINCT started_at_s) FROM requests"
        )
        assert counts.fetchone() == (1001, 1001, 1001)


def test_a_folder_without_requests_cannot_be_filled(results, tmp_path):
    from benchmark.growth import fill

    with pytest.raises(SystemExit, match="no table of requests"):
        fill(tmp_path, 10)
