"""What the kernel expects of every strategy."""

import re
from collections import Counter
from collections.abc import Sequence

import msgspec

from omniroute.contracts import Outcome, RouteContext, Strategy, Target

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


def check_strategy(strategy_type: type[Strategy], options: msgspec.Struct | None = None) -> None:
    """Raise `AssertionError` saying what the kernel cannot work with.

    `order` must give all targets, each once, and leave its argument alone; two instances with one history must agree (time
    and chance come in through `context` alone); `observe` must take any outcome. `options` replaces
    `strategy_type.options_type()` for strategies whose options have no defaults.
    """
    name = strategy_type.name
    assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name), f"name {name!r}: lower-case words joined by hyphens"
    options = _options(strategy_type, options)
    histories = [_history(strategy_type(options)) for _ in range(2)]
    assert histories[0] == histories[1], (
        f"{name}: two instances with the same options and history order differently; take time from `context.now_s`,"
        " and no chance"
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


def _history(strategy: Strategy) -> list[tuple[Target, ...]]:
    orders = []
    for turn in range(12):
        targets = list(TARGETS[: 1 + turn % len(TARGETS)])
        context = RouteContext(combo="check", session=f"s{turn % 3}" if turn % 2 else None, now_s=float(turn))
        given = tuple(targets)
        order = tuple(strategy.order(targets, context))
        assert tuple(targets) == given, f"{strategy.name}: order() changed the list it was given"
        _assert_permutation(strategy.name, given, order)
        orders.append(order)
        for outcome in _outcomes(order[0], turn):
            strategy.observe(outcome)
    return orders


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
