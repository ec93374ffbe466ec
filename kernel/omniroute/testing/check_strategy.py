"""What the kernel expects of every strategy."""

import copy
import itertools
import re
from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from omniroute.contracts import Outcome, RouteContext, Standing, Strategy, Target

__all__ = ["check_strategy"]

TARGETS = tuple(
    Target(provider=provider, model=model, account=account)
    for provider, model, account in [
        ("p", "m", "a"),
        ("p", "m", "b"),
        ("p", "n", "a"),
        ("q", "m", ""),
        ("q", "x/y", "c"),
    ]
)
DRAWS = (0.0, 0.61, 0.999999, 0.34, 0.5)
STANDINGS = (
    Standing(),
    Standing(requests=9, failures=9, last_used_s=3.0, error_rate=1.0, quota_left=0.0, quota_resets_s=1e6),
    Standing(requests=2, in_flight=2, last_used_s=4.0, input_usd=3.0, output_usd=15.0, context_tokens=200_000),
    Standing(requests=4, last_used_s=2.0, latency_s=0.8, input_usd=0.0, quota_left=0.4, quota_resets_s=5.0),
    Standing(requests=70, failures=1, last_used_s=6.0, latency_s=0.2, error_rate=0.1, context_tokens=8_000),
)
"""Of every kind: untried, failing, busy, free, fast, with facts and without."""


def check_strategy(strategy_type: type[Strategy], options: msgspec.Struct | None = None) -> None:
    """Raise `AssertionError` saying what the kernel cannot work with.

    `order` must give all targets, each once, and leave its argument alone; two instances with one history must agree (time
    and chance come in through `context` alone); `observe` must take any outcome; a `copy.deepcopy` must be a strategy of its
    own, for dry runs ask one. `options` replaces `strategy_type.options_type()` for strategies whose options have no defaults.
    """
    name = strategy_type.name
    assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name), f"name {name!r}: lower-case words joined by hyphens"
    options = _options(strategy_type, options)
    histories = [_history(strategy_type(options)) for _ in range(2)]
    assert histories[0] == histories[1], (
        f"{name}: two instances with the same options and history order differently; take time from `context.now_s`"
        " and chance from `context.draw`"
    )
    assert _history(strategy_type(options), rehearse=True) == histories[0], (
        f"{name}: asking a copy.deepcopy of it changes what it answers; keep its state in the object, not in its class or module"
    )


def _options(strategy_type: type[Strategy], options: msgspec.Struct | None) -> msgspec.Struct:
    kind = strategy_type.options_type
    assert issubclass(kind, msgspec.Struct), f"{kind!r}: options_type must be a Struct"
    assert kind.__struct_config__.forbid_unknown_fields, (
        f"{kind.__name__}: set forbid_unknown_fields=True, or a misspelt option passes in silence"
    )
    if options is not None:
        return options
    try:
        return kind()
    except TypeError as error:
        raise AssertionError(f"{kind.__name__}: give each option a default, or hand `options` to this check") from error


def _history(strategy: Strategy, *, rehearse: bool = False) -> list[tuple[Target, ...]]:
    orders = []
    draw = itertools.cycle(DRAWS).__next__
    for turn in range(12):
        targets = list(TARGETS[: 1 + turn % len(TARGETS)])
        context = _context(turn, draw)
        given = tuple(targets)
        if rehearse:
            _copied(strategy).order(targets, _context(turn, itertools.cycle(DRAWS).__next__))
        order = tuple(strategy.order(targets, context))
        assert tuple(targets) == given, f"{strategy.name}: order() changed the list it was given"
        _assert_permutation(strategy.name, given, order)
        orders.append(order)
        for outcome in _outcomes(order[0], turn):
            strategy.observe(outcome)
    return orders


def _copied(strategy: Strategy) -> Strategy:
    try:
        return copy.deepcopy(strategy)
    except Exception as error:
        raise AssertionError(
            f"{strategy.name}: copy.deepcopy cannot copy it, so it cannot be rehearsed: {error}"
        ) from error


def _context(turn: int, draw: Callable[[], float]) -> RouteContext:
    if not turn:
        return RouteContext(combo="check", session=None, now_s=0.0)  # nothing known, as in the simplest of tests
    turned = (*STANDINGS[turn % len(STANDINGS) :], *STANDINGS[: turn % len(STANDINGS)])
    return RouteContext(
        combo="check",
        session=f"s{turn % 3}" if turn % 2 else None,
        now_s=float(turn),
        draw=draw,
        standing=dict(zip(TARGETS, turned, strict=True)),
        names={target: f"{target.provider}/{target.model}" for target in TARGETS if turn % 3},
        input_tokens_estimate=turn * 1000,
    )


def _assert_permutation(name: str, given: Sequence[Target], order: Sequence[Target]) -> None:
    missing, extra = Counter(given) - Counter(order), Counter(order) - Counter(given)
    assert not missing, f"{name}: order() left out {sorted(map(str, missing))}"
    assert not extra, f"{name}: order() invented or repeated {sorted(map(str, extra))}"


def _outcomes(target: Target, turn: int) -> list[Outcome]:
    failed = turn % 3 == 0
    return [
        Outcome(target=target, ok=not failed, error="rate_limit_exceeded" if failed else None, latency_s=turn / 10),
        Outcome(target=Target(provider="never", model="seen"), ok=True),
    ]
