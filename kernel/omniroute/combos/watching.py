"""What is in a combo, and how it and its targets are doing. Looks only."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from omniroute.combos.views import ComboMetrics, ComboTarget, ComboView, Measures, TargetMetrics
from omniroute.contracts import Target
from omniroute.errors import NotFound
from omniroute.routing import Candidate, Route, dead_ends
from omniroute.settings.paths import did_you_mean

if TYPE_CHECKING:
    from omniroute.gateway import Gateway

__all__ = ["combo_metrics", "combo_view", "combo_views", "route_of", "target_of"]


def combo_views(gateway: "Gateway") -> list[ComboView]:
    return [combo_view(gateway, name) for name in gateway.registry.combos]


def combo_view(gateway: "Gateway", name: str) -> ComboView:
    """Raises `NotFound`."""
    route = route_of(gateway, name)
    combo = gateway.registry.combos[name]
    return ComboView(
        name=name,
        label=combo.label,
        strategy=combo.strategy.name,
        models=combo.models,
        targets=(*(target_of(gateway, each) for each in route.overview.by_target.values()), *_dead(route)),
        terms=combo.terms,
    )


def combo_metrics(gateway: "Gateway", name: str) -> ComboMetrics:
    """Raises `NotFound`."""
    route = route_of(gateway, name)
    return ComboMetrics(
        name=name,
        strategy=gateway.registry.combos[name].strategy.name,
        measures=_measures(gateway, Target(provider="", model=name)),
        targets=tuple(_metrics(gateway, each) for each in route.overview.by_target.values()),
    )


def route_of(gateway: "Gateway", name: str) -> Route:
    """Raises `NotFound` when there is no such combo."""
    combos = gateway.registry.combos
    if name not in combos:
        raise NotFound(
            f"no combo is called {name!a}{did_you_mean(name, combos)}", fix="`omniroute combo list` shows them"
        )
    return gateway.router.resolve(name)


def target_of(gateway: "Gateway", candidate: Candidate) -> ComboTarget:
    target = candidate.target
    tier = candidate.provider.facts.tier
    return ComboTarget(name=gateway.router.name_of(target), account=target.account, tier=tier)


def _dead(route: Route) -> Iterator[ComboTarget]:
    return (ComboTarget(name=name, problem=reason) for name, reason in dead_ends(route))


def _metrics(gateway: "Gateway", candidate: Candidate) -> TargetMetrics:
    hold = gateway.health.hold(candidate)
    return TargetMetrics(
        target=target_of(gateway, candidate),
        measures=_measures(gateway, candidate.target),
        quota_left=gateway.router.standing.seen[candidate.target].quota_left,
        hold=None if hold is None else hold.reason,
    )


def _measures(gateway: "Gateway", target: Target) -> Measures:
    standings = gateway.router.standing
    standing, latencies = standings.seen[target], sorted(standings.latencies(target))
    used_s = standing.last_used_s
    return Measures(
        requests=standing.requests,
        failures=standing.failures,
        error_rate=standing.error_rate,
        in_flight=standing.in_flight,
        latency_p50_s=latencies[len(latencies) // 2] if latencies else None,
        latency_p95_s=latencies[len(latencies) * 95 // 100] if latencies else None,
        last_used_s=None if used_s is None else max(0.0, gateway.health.clock() - used_s),
    )
