"""The growth curves as one SVG: a small panel for each, readable on light and dark pages, of text and lines alone."""

import math
from collections.abc import Callable, Iterator, Sequence
from html import escape

import msgspec

from benchmark.results import Row, shown

WIDTH, HEIGHT, COLUMNS = 320, 220, 3
LEFT, RIGHT, TOP, BOTTOM = 58, 16, 40, 44
"""Of a panel, around what is drawn in it."""
STEPS = (1, 2, 5, 10)
STYLE = """
text { font: 11px system-ui, sans-serif; fill: #57606a }
.title { font-weight: 600; font-size: 12px; fill: #1f2328 }
.axis, .grid { stroke: #8b949e; stroke-width: 1; fill: none }
.grid { opacity: 0.25 }
.gateway { stroke: #0969da; fill: #0969da }
.proxy { stroke: #8250df; fill: #8250df }
polyline { fill: none !important; stroke-width: 2 }
polyline.proxy { stroke-dasharray: 5 4 }
@media (prefers-color-scheme: dark) {
  text { fill: #9198a1 } .title { fill: #f0f6fc }
  .gateway { stroke: #4493f8; fill: #4493f8 } .proxy { stroke: #ab7df8; fill: #ab7df8 }
}
"""
NOTE = "Solid: the gateway. Dashed: the bare proxy in the same run. Costs in µs of CPU time, medians."


class Panel(msgspec.Struct, frozen=True):
    curve: str
    title: str
    across: str
    up: str = "µs per request"
    grows: bool = False
    """Both scales are logarithmic: a line at 45 degrees is linear growth."""
    with_proxy: bool = False


PANELS = (
    Panel("logged", "Logged requests", "requests in the store"),
    Panel("targets", "Targets", "models in the combo"),
    Panel("accounts", "Accounts", "accounts of the provider"),
    Panel("plugins", "Plugins", "plugins loaded"),
    Panel("streams", "Streams", "open streams, 20 events/s each", "µs per event", with_proxy=True),
    Panel("bodies", "Body", "bytes of the request", grows=True, with_proxy=True),
    Panel("clients", "Idle clients", "keep-alive connections", "RSS, MB", with_proxy=True),
)

Scale = Callable[[float], float]


def picture(rows: Sequence[Row]) -> str:
    """An SVG of every curve that was measured."""
    drawn = [(panel, points) for panel in PANELS if (points := [row for row in rows if row.curve == panel.curve])]
    columns = min(COLUMNS, max(len(drawn), 1))
    width, height = columns * WIDTH, math.ceil(len(drawn) / columns) * HEIGHT + 24
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">',
        "<title>What a request costs as things grow</title>",
        f"<style>{STYLE}</style>",
    ]
    for number, (panel, points) in enumerate(drawn):
        row, column = divmod(number, columns)
        lines += [f'<g transform="translate({column * WIDTH},{row * HEIGHT})">', *_panel(panel, points), "</g>"]
    lines += [f'<text x="{LEFT}" y="{height - 8}">{NOTE}</text>', "</svg>"]
    return "\n".join(lines) + "\n"


def _panel(panel: Panel, points: Sequence[Row]) -> Iterator[str]:
    points = sorted(points, key=lambda row: row.at or 0)
    gateway = [(float(row.at or 0), row.gateway.median) for row in points]
    proxy = [(float(row.at or 0), row.proxy.median) for row in points if row.proxy] if panel.with_proxy else []
    xs = [x for x, _ in gateway]
    values = [value for _, value in (*gateway, *proxy)]
    x_of = _across(xs)
    ticks = _decades(values) if panel.grows else _even(max(values))
    y_of = _up(ticks, logarithmic=panel.grows)
    yield f'<text class="title" x="{LEFT}" y="18">{escape(panel.title)}</text>'
    yield f'<text x="{LEFT}" y="32">{escape(panel.up)}</text>'
    for tick in ticks:
        y = y_of(tick)
        yield f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_short(tick)}</text>'
    for x in xs:
        yield f'<text x="{x_of(x):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{_short(x)}</text>'
    yield f'<path class="axis" d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>'
    middle = (LEFT + WIDTH - RIGHT) / 2
    yield f'<text x="{middle}" y="{HEIGHT - 10}" text-anchor="middle">{escape(panel.across)}</text>'
    for name, line in (("proxy", proxy), ("gateway", gateway)):
        if line:
            places = [(x_of(x), y_of(value)) for x, value in line]
            yield f'<polyline class="{name}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in places)}"/>'
            for (x, y), (at, value) in zip(places, line, strict=True):
                yield f'<circle class="{name}" cx="{x:.1f}" cy="{y:.1f}" r="3"><title>{_short(at)}: {shown(value)}</title></circle>'


def _across(xs: Sequence[float]) -> Scale:
    """By powers of ten, with a place for nothing at all before them."""
    logs = [math.log10(max(x, 1)) for x in xs]
    low, high = min(logs), max(logs)
    room, start = WIDTH - LEFT - RIGHT - 36, LEFT + 18
    return lambda x: start + room * (math.log10(max(x, 1)) - low) / ((high - low) or 1)


def _up(ticks: Sequence[float], *, logarithmic: bool) -> Scale:
    scaled: Scale = math.log10 if logarithmic else float
    low, high = scaled(ticks[0]), scaled(ticks[-1])
    room = HEIGHT - TOP - BOTTOM
    return lambda value: HEIGHT - BOTTOM - room * (scaled(value) - low) / (high - low)


def _even(highest: float) -> list[float]:
    """From 0 to beyond the highest, four or five steps of a round size."""
    power = 10.0 ** math.floor(math.log10(max(highest, 1e-6) / 4))
    step = next(factor * power for factor in STEPS if factor * power * 4 >= highest * 0.999)
    return [step * number for number in range(math.ceil(highest / step) + 1)]


def _decades(values: Sequence[float]) -> list[float]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return [10.0**power for power in range(low, max(high, low + 1) + 1)]


def _short(value: float) -> str:
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
