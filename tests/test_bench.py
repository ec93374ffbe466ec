"""What scripts/bench sends, and what it makes of runs: what is worse than before, which goals are met, and the picture of
what grows."""

import asyncio
import base64
import contextlib
import importlib.machinery
import importlib.util
import itertools
import json
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


@pytest.fixture
def bench(results):
    """scripts/bench as a module."""
    loader = importlib.machinery.SourceFileLoader("bench", str(ROOT / "scripts/bench"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("bench", loader))
    loader.exec_module(module)
    return module


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
        pytest.param(("instructions per event", 90, 10), ("instructions per event", 113, 10), True, id="more instructions"),
        pytest.param(("instructions per event", 90, 10), ("instructions per event", 112, 10), False, id="just within"),
        pytest.param(("MB", 60, 20), ("MB", 90, 20), True, id="more memory"),
        pytest.param(("ms", 1, 1), ("ms", 9, 1), False, id="latency depends on who else is busy"),
        pytest.param(("requests/s", 90, 10), ("requests/s", 900, 10), False, id="more requests are no cost"),
        pytest.param(("µs CPU per event", 10, None), ("µs CPU per event", 99, None), False, id="no bare proxy"),
    ],
)  # fmt: skip
def test_only_a_ratio_of_a_cost_that_grew_by_more_than_a_quarter_is_worse(results, before, now, is_worse):
    found = results.worse(run(results, row=now), run(results, row=before))
    assert len(found) == int(is_worse)


def test_what_the_baseline_does_not_have_is_not_compared(results):
    assert results.worse(run(results, new=("MB", 90, 1)), run(results, old=("MB", 1, 1))) == {}


# --- the gate


def dearer(results, run, factor):
    rows = [msgspec.structs.replace(row, gateway=results.figure([row.gateway.median * factor])) for row in run.rows]
    return msgspec.structs.replace(run, rows=tuple(rows))


def test_the_baseline_of_the_gate_holds_every_cost_that_it_measures(results, bench):
    baseline = bench.kept(bench.BASELINE)
    assert {row.name: row.unit.partition(" ")[0] for row in baseline.rows} == dict.fromkeys(bench.GATED, "instructions")
    assert set(results.worse(dearer(results, baseline, 1.3), baseline)) == set(bench.GATED)
    assert results.worse(baseline, baseline) == {}


@pytest.mark.parametrize(
    ("factor", "exit_code", "said"),
    [
        pytest.param(1.3, 1, "times the bare proxy, 40.00 in the baseline", id="costs more"),
        pytest.param(1.2, 0, "no cost has grown by more than a quarter", id="costs a little more"),
        pytest.param(0.5, 0, "no cost has grown by more than a quarter", id="costs less"),
    ],
)
def test_the_gate_fails_when_a_ratio_has_grown_by_more_than_a_quarter(results, bench, capsys, factor, exit_code, said):
    baseline = run(results, relay=("instructions per request", 800_000, 20_000))
    assert bench.gate(dearer(results, baseline, factor), baseline) == exit_code
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.out.splitlines()[1].split()[-2:] == [f"{40 * factor:.1f}", "40.0"]


@pytest.mark.parametrize("option", ["--gate", "--baseline"])
def test_without_valgrind_nothing_is_counted_and_the_way_to_get_it_is_said(
    bench, monkeypatch, capsys, tmp_path, option
):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["bench", option])
    before = bench.BASELINE.read_bytes()
    assert bench.main() == 2
    assert "apt-get install valgrind" in capsys.readouterr().err
    assert bench.BASELINE.read_bytes() == before


STATUS = """\
instrumentation: on
executed-bbs: 41907
events: Ir
part: 0
threads: 1 6
current-tid: 1
events-1: {first}
frames-1: 2
function-1-0: uv_run
calls-1-0: 14
events-1-0: 127096
function-1-1: epoll_pwait
events-6: {second}
frames-6: 0
"""


@pytest.mark.parametrize(
    ("first", "second", "total"),
    [pytest.param(179_405, 0, 179_405, id="one works"), pytest.param(40_000, 2, 40_002, id="all threads")],
)
def test_the_instructions_of_a_process_are_those_of_its_threads(results, first, second, total):
    from benchmark import instructions

    assert instructions.total(STATUS.format(first=first, second=second)) == total


def test_a_status_without_counts_is_an_error_and_no_zero(results):
    from benchmark import instructions

    with pytest.raises(SystemExit, match=r"counts nothing; its status is:\ninstrumentation: off"):
        instructions.total("instrumentation: off\n")


@pytest.mark.parametrize(
    ("each", "count"),
    [
        pytest.param(17_000, 128, id="many at most"),
        pytest.param(800_000, 100, id="as many as a window takes"),
        pytest.param(60_000_000, 4, id="a few at least"),
    ],
)
def test_a_window_has_as_many_requests_as_it_has_time_for(results, each, count):
    from benchmark import instructions

    assert instructions.requests(each) == count


class Counting(asyncio.Protocol):
    """Answers every request and counts them; none is sent in pieces here."""

    def __init__(self, seen):
        self.seen = seen

    def connection_made(self, transport):
        self.transport = transport
        self.seen["connections"] += 1

    def data_received(self, data):
        self.seen["requests"] += data.count(b"POST ")
        self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


async def test_connections_that_share_requests_send_exactly_as_many_as_asked(results):
    from benchmark import process

    seen = {"connections": 0, "requests": 0}
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Counting(seen), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    job = {
        "kind": "shared",
        "host": "127.0.0.1",
        "port": port,
        "connections": 3,
        "request": base64.b64encode(b"POST /\r\n").decode(),
    }
    async with server:
        with process.running([sys.executable, "-m", "benchmark.load"]) as generator:
            generator.say(json.dumps(job))
            for count, total in ((7, 7), (2, 9), (10, 19)):
                generator.say(str(count))
                assert json.loads(await asyncio.to_thread(generator.line)) == {"requests": count}
                assert seen == {"connections": 3, "requests": total}
            generator.say("0")


# --- bodies


@pytest.mark.parametrize("size", [20_000, 100_000])
@pytest.mark.parametrize("dialect", ["openai-chat", "anthropic"])
def test_the_body_of_an_agent_is_dense_json_of_the_size_that_was_asked(results, dialect, size):
    from benchmark.agent import agent_body

    body = agent_body(dialect, "small", size, stream=False)
    kilobytes = len(body) / 1000
    assert size * 0.97 <= len(body) <= size
    assert (body.count(b"{") + body.count(b"[")) / kilobytes > 10
    assert body.count(b'"') / kilobytes > 80
    for escaped in (rb"\n", rb"\"", rb"\\"):
        assert body.count(escaped) / kilobytes > 5
    assert "größer".encode() in body
    assert (json.loads(body)["model"], json.loads(body)["stream"]) == ("small", False)


def pairs(turns):
    return list(zip(turns[::2], turns[1::2], strict=True))


@pytest.mark.parametrize("size", [1000, 20_000, 100_000])
def test_an_agent_says_the_same_in_both_dialects_and_each_call_has_its_result(results, size):
    from benchmark.agent import agent_body

    chat, messages = (json.loads(agent_body(name, "m", size, stream=True)) for name in ("openai-chat", "anthropic"))
    assert chat["stream"] is messages["stream"] is True
    tools = [(tool["name"], tool["input_schema"]) for tool in messages["tools"]]
    assert tools == [(tool["function"]["name"], tool["function"]["parameters"]) for tool in chat["tools"]]
    assert len(tools) == 12
    assert "model" in dict(tools)["start_agent"]["properties"]

    calls, results_of = [], {}
    for turn, answer in pairs(messages["messages"][1:]):
        call = turn["content"][1]
        calls.append((call["id"], call["name"], call["input"]))
        results_of[answer["content"][0]["tool_use_id"]] = answer["content"][0]["content"]
    assert list(results_of) == [call[0] for call in calls]

    in_chat = [
        (
            call["id"],
            call["function"]["name"],
            json.loads(call["function"]["arguments"]),
            answer["tool_call_id"],
            answer["content"],
        )
        for turn, answer in pairs(chat["messages"][2:])
        for call in turn["tool_calls"]
    ]
    both = min(len(calls), len(in_chat))
    assert both > size / 2000
    assert in_chat[:both] == [(*call, call[0], results_of[call[0]]) for call in calls[:both]]


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


def test_a_whole_run_measures_every_goal(results, bench):
    """The sizes in the names of its figures are those of the goals."""
    from benchmark import goals
    from benchmark.measure import SLICES

    sized = {
        f"growth-logged-{bench.FULL.logged}",
        f"rss-streams-{bench.FULL.streams}",
        f"rss-bodies-{bench.FULL.large_bodies}",
        f"rss-client-{bench.FULL.idle_clients[-1]}",
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
    assert set(bench.GATED) <= {item.name for item in SLICES}


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
