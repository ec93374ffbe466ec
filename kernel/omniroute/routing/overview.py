"""What all candidates of a route have in common or lack, found once, when the route is."""

from collections.abc import Iterator

from omniroute.contracts import ModelFacts
from omniroute.routing.routes import Candidate, Leg, Overview, Route
from omniroute.standing import fresh_usd

__all__ = ["lacks", "overview_of"]

ABILITIES = ("tools", "vision")
"""Words of `ModelFacts.capabilities` that some requests need."""


def overview_of(route: Route) -> Overview:
    """Of the candidates of `route` and of its last resort."""
    own = tuple(_candidates(route))
    models = {id(each.model): each.model for each in (*own, *_candidates(route.last_resort))}.values()
    rates = [rate for model in models if (rate := fresh_usd(model.price)) is not None]
    lacking = frozenset(word for model in models for word in ABILITIES if lacks(model, word))
    smallest_window = min((model.context_tokens for model in models if model.context_tokens), default=None)
    return Overview(
        by_target={candidate.target: candidate for candidate in own},
        lacking=lacking,
        smallest_window=smallest_window,
        is_choosy=bool(lacking) or smallest_window is not None,
        homes=frozenset(candidate.account.base_url for candidate in own),
        cheapest_rate=min(rates, default=None),
    )


def _candidates(entry: "Route | Leg | None") -> Iterator[Candidate]:
    match entry:
        case Leg():
            yield from entry.candidates
        case Route():
            for inner in entry.entries:
                yield from _candidates(inner)


def lacks(model: ModelFacts, ability: str) -> bool:
    """Whether it is known to lack one of `ABILITIES`. A list with neither of them says something else, and not that."""
    said = model.capabilities
    return ability not in said and ("tools" in said or "vision" in said)
