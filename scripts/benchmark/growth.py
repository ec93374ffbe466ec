"""What a request costs when there is more of something: logged requests, targets in a combo, accounts, plugins, streams, bytes.

Each curve is a few points that take turns round by round, so that what differs between them is not the time of day. Flat is
what all but the bytes should be.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import msgspec
from plugin_folder import add_plugin

from benchmark import wire
from benchmark.measure import Bench, Slice
from benchmark.results import Row, figure
from benchmark.targets import Target, provider

REQUEST, EVENT = "µs CPU per request", "µs CPU per event"
TARGETS = (1, 10, 100)
ACCOUNTS = (1, 100, 1000)
STREAMS = (10, 100, 500)
BODIES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
SMALL = Slice(name="growth", label="")
TEN_PLUGINS = (
    "auth-apikey", "provider-anthropic", "provider-demo", "provider-openai", "providers-compatible", "strategy-fillfirst",
    "telemetry-sqlite", "tokens-offline", "translator-anthropic", "translator-openai-chat",
)  # fmt: skip
MANY_PLUGINS = 60
PLUGIN = """
from omniroute.api import FactsProvider, ModelFacts, ProviderFacts, hookimpl


@hookimpl
def register_providers():
    models = tuple(ModelFacts(id=f"model-{{number}}") for number in range(5))
    facts = ProviderFacts(name={name!r}, dialect="openai-chat", base_url="http://127.0.0.1:9/v1", auth="api-key", models=models)
    return [FactsProvider(facts)]
"""
NOBODY_ASKS = "[models]\nrefresh_s = 0\n[quota]\ninterval_s = 0\n"
"""A thousand accounts would all be asked for their models while this goes on."""
FILL = """
    WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
    INSERT INTO requests ({columns}) SELECT {values} FROM (SELECT * FROM requests LIMIT 1), numbers
"""
FILL_VALUES = {
    "id": "id || '-' || n",
    "request_id": "request_id || '-' || n",
    "started_at_s": "started_at_s - n",
}
"""In which the copies differ: a request a second until now."""

Measure = Callable[[], float]


class Start(Protocol):
    """Starts a gateway with its data in a folder below the run's own."""

    def __call__(
        self, folder: str, *, toml: str = "", variables: Mapping[str, str] | None = None
    ) -> contextlib.AbstractContextManager[Target]: ...


def small(bench: Bench, target: Target, model: str | None = None) -> Measure:
    """Cost of a relayed request of 1 kB."""
    return lambda: bench.busy_slice(SMALL, target, model)[0]


def curve(bench: Bench, name: str, label: str, points: Mapping[int, Measure]) -> Iterator[Row]:
    """`label` holds `{at}`."""
    taken: dict[int, list[float]] = {at: [] for at in points}
    for _ in range(bench.plan.rounds):
        for at, measure in points.items():
            taken[at].append(measure())
    for at, costs in taken.items():
        yield Row(name=f"growth-{name}-{at}", label=label.format(at=f"{at:,}"), unit=REQUEST, gateway=figure(costs),
                  curve=name, at=at)  # fmt: skip


# --- stored requests --------------------------------------------------------------------------------------------------


def logged(bench: Bench, start: Start, folder: Path) -> Iterator[Row]:
    """With many requests in the store, beside a gateway that has none."""
    count = bench.plan.logged
    with start("full"):
        pass  # the first answer is in the store when it has stopped
    fill(folder / "full", count)
    with start("full") as full, start("empty") as empty:
        label = "relayed, 1 kB body, logged requests: {at}"
        none, many = curve(bench, "logged", label, {0: small(bench, empty), count: small(bench, full)})
    yield none
    yield msgspec.structs.replace(many, label=f"{many.label} (beside it: none)", proxy=none.gateway)


def fill(folder: Path, count: int) -> None:
    """Copies of the one request that is in there, under ids of their own."""
    for path in folder.rglob("*.db"):
        with contextlib.closing(sqlite3.connect(path)) as connection:
            columns = [row[1] for row in connection.execute("PRAGMA table_info(requests)")]
            if not columns:
                continue
            connection.execute("PRAGMA synchronous = OFF")
            values = [FILL_VALUES.get(name, name) for name in columns]
            connection.execute(FILL.format(columns=", ".join(columns), values=", ".join(values)), (count,))
            connection.commit()
            return
    raise SystemExit(f"no table of requests in {folder}")


# --- what settings and plugins add ------------------------------------------------------------------------------------


def targets(bench: Bench, start: Start, _: Path) -> Iterator[Row]:
    """Combos of so many models, in one gateway; their strategy takes them in turns."""
    models = [f"m{number}" for number in range(max(TARGETS))]
    toml = NOBODY_ASKS + (
        f'[providers.many]\ndialect = "openai-chat"\nbase_url = "http://{bench.direct.host}:{bench.direct.port}/json/v1"\n'
        f'api_key = "{wire.UPSTREAM_KEY}"\nmodels = {models}\n'
    )
    for count in TARGETS:
        toml += f'[combos.targets-{count}]\nstrategy = "round-robin"\nmodels = {[f"many/{model}" for model in models[:count]]}\n'
    with start("targets", toml=toml) as target:
        points = {count: small(bench, target, f"targets-{count}") for count in TARGETS}
        yield from curve(bench, "targets", "relayed, 1 kB body, targets in the combo: {at}", points)


def accounts(bench: Bench, start: Start, _: Path) -> Iterator[Row]:
    """Accounts of the one provider that is asked."""
    with ExitStack() as up:
        points = {}
        for count in ACCOUNTS[: bench.plan.curve_points]:
            toml = NOBODY_ASKS + "".join(account(number) for number in range(1, count))
            points[count] = small(bench, up.enter_context(start(f"accounts-{count}", toml=toml)))
        yield from curve(bench, "accounts", "relayed, 1 kB body, accounts: {at}", points)


def account(number: int) -> str:
    """One more than the provider's own."""
    of = provider("json", wire.CHAT)
    return f'[[accounts]]\nprovider = "{of}"\nname = "a{number}"\napi_key = "test-upstream-key-{number}"\n'


def plugins(bench: Bench, start: Start, folder: Path) -> Iterator[Row]:
    """Ten of our own, and fifty more that bring a provider each."""
    more = [f"bench-plugin-{number}" for number in range(MANY_PLUGINS - len(TEN_PLUGINS))]
    for name in more:
        add_plugin(folder / "packages", name, PLUGIN.format(name=name))
    path = os.pathsep.join(filter(None, [str(folder / "packages"), os.environ.get("PYTHONPATH")]))
    few = {"OMNIROUTE_PLUGINS": ",".join(TEN_PLUGINS)}
    many = {"OMNIROUTE_PLUGINS": ",".join([*TEN_PLUGINS, *more]), "PYTHONPATH": path}
    with start("few-plugins", variables=few) as ten, start("many-plugins", variables=many) as sixty:
        points = {len(TEN_PLUGINS): small(bench, ten), MANY_PLUGINS: small(bench, sixty)}
        yield from curve(bench, "plugins", "relayed, 1 kB body, plugins: {at}", points)


# --- what clients send and receive ------------------------------------------------------------------------------------


def streams(bench: Bench, *unused: object) -> Iterator[Row]:
    """Per event, each a wake-up of its own, beside the bare proxy."""
    for count in STREAMS[: bench.plan.curve_points]:
        gateway, proxy = (figure(bench.slow_rounds(target, count)[0]) for target in (bench.gateway, bench.proxy))
        label = f"{count} streams of {wire.SLOW_EVENTS_PER_S} events/s"
        yield Row(name=f"growth-streams-{count}", label=label, unit=EVENT, gateway=gateway, proxy=proxy, curve="streams",
                  at=count)  # fmt: skip


def bodies(bench: Bench, *unused: object) -> Iterator[Row]:
    """Relayed, beside the bare proxy; few at a time when they are large."""
    for size in BODIES[: bench.plan.curve_points]:
        item = Slice(name="body", label="", body_bytes=size, connections=max(2, min(32, 1_000_000 // size)))
        costs: dict[str, list[float]] = {"gateway": [], "proxy": []}
        for _ in range(bench.plan.rounds):
            for target in (bench.gateway, bench.proxy):
                costs[target.name].append(bench.busy_slice(item, target)[0])
        label = f"relayed, {size // 1000:,} kB body"
        yield Row(name=f"growth-bodies-{size}", label=label, unit=REQUEST, gateway=figure(costs["gateway"]),
                  proxy=figure(costs["proxy"]), curve="bodies", at=size)  # fmt: skip


CURVES: Mapping[str, Callable[[Bench, Start, Path], Iterator[Row]]] = {
    "growth-logged": logged,
    "growth-targets": targets,
    "growth-accounts": accounts,
    "growth-plugins": plugins,
    "growth-streams": streams,
    "growth-bodies": bodies,
}
"""Each takes a bench whose gateway has nothing in it, and the folder below which `start` starts others."""


def shorter(bench: Bench) -> Bench:
    """As curves are measured, of several points each."""
    plan = bench.plan
    plan = msgspec.structs.replace(plan, rounds=plan.curve_rounds, slice_s=max(plan.slice_s / 2, 0.3))
    return Bench(plan, bench.generator, bench.direct, bench.proxy, bench.gateway)
