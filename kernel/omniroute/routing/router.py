"""From a model string to an ordered list of candidates. Sync, in memory, no clock of its own.

Order of meaning: combo, `prefix/model` at the first slash, alias (exact, then wildcards), bare name that exactly one
provider owns. Anything else is a `ModelNotFound` that names the closest. Answers are kept until accounts change.
"""

import contextlib
import difflib
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from msgspec.structs import replace

from omniroute.contracts import (
    Account,
    ListedModel,
    ModelFacts,
    Provider,
    ProviderFacts,
    RouteContext,
    Target,
    TimeoutFacts,
    Transport,
)
from omniroute.errors import InvalidRequest, ModelNotFound
from omniroute.routing.guarded import Guards
from omniroute.routing.orders import Orders
from omniroute.routing.overview import overview_of
from omniroute.routing.routes import Candidate, Concerned, Leg, Route, legs, once, walk
from omniroute.routing.terms import Terms
from omniroute.routing.wildcards import compiled, is_pattern, specificity
from omniroute.standing import Running, Standings, priced

if TYPE_CHECKING:
    from omniroute.registry import Combo, Registry

__all__ = ["AccountTable", "Router"]

MAX_MODEL_CHARS = 512
MAX_REMEMBERED = 4096
MAX_COMPARED = 2000
"""Names looked at for "closest" suggestions; more would hold up the loop."""
_UNSAFE = re.compile(r"[\x00-\x1f\x7f]|\.\.|^/")


class AccountTable(Protocol):
    """What routing needs of the accounts."""

    def of(self, provider: str) -> Sequence[Account]:
        """Usable accounts of a provider, first choice first."""
        ...

    def why_none(self, provider: str) -> str:
        """Why there are none."""
        ...


class Router:
    def __init__(
        self,
        registry: "Registry",
        accounts: AccountTable,
        *,
        aliases: Mapping[str, str],
        transports: Mapping[str, Transport],
        default_transport: str,
        terms: Terms | None = None,
        last_resort: str | None = None,
    ) -> None:
        """`terms` hold for what is no combo. `last_resort` is asked for what nothing else could answer."""
        self._registry = registry
        self._accounts = accounts
        self._transports = transports
        self._default_transport = default_transport
        self._terms = terms or Terms()
        self._last_resort = last_resort
        self._orders = Orders(registry)
        self._guards = Guards(registry)
        self._aliases = {name: target for name, target in aliases.items() if not is_pattern(name)}
        patterns = [(name, target) for name, target in aliases.items() if is_pattern(name)]
        patterns.sort(key=lambda pair: (-specificity(pair[0]), pair[0]))
        self._patterns = [(compiled(name), target) for name, target in patterns]
        self._remembered: dict[str, Route] = {}
        self._listed: tuple[ListedModel, ...] | None = None
        self._served: dict[str, Mapping[str, ModelFacts]] = {}
        self.standing = Standings(self.facts_of)

    def forget(self) -> None:
        """Accounts or models have changed."""
        self._remembered = {}
        self._listed = None
        self._served = {}
        self.standing.facts_changed()

    # --- model string to route ----------------------------------------------------------------------------------------

    def resolve(self, model: str) -> Route:
        """Raises `ModelNotFound`, or `InvalidRequest` for a string that cannot be a model's name."""
        route = self._remembered.get(model)
        if route is None:
            if len(model) > MAX_MODEL_CHARS or _UNSAFE.search(model):
                raise InvalidRequest(
                    "the model name is not usable",
                    why="it is too long, or holds '..', control characters or a leading slash",
                    param="model",
                )
            route = self._with_overview(self._resolve(model, seen=()))
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered = {}
            self._remembered[model] = route
        return route

    def _with_overview(self, route: Route) -> Route:
        if self._last_resort is not None:
            with contextlib.suppress(ModelNotFound):  # its provider may have no account now
                route = replace(route, last_resort=self._resolve(self._last_resort, seen=()))
        overview = overview_of(route)
        concerned = {target: self._concerned(route, candidate) for target, candidate in overview.by_target.items()}
        return replace(route, overview=replace(overview, concerned=concerned))

    def _resolve(self, model: str, seen: tuple[str, ...], suffix: str | None = None) -> Route:
        if model in seen:  # settings are checked for cycles at start; an alias made since then may close one
            raise ModelNotFound(f"the alias {model!r} leads back to itself", param="model")
        seen = (*seen, model)
        combo = self._registry.combos.get(model)
        if combo is not None:
            return self._combo(combo, seen, suffix)
        base, colon, asked = model.rpartition(":")
        if colon and (combo := self._registry.combos.get(base)) is not None:
            return self._combo(combo, seen, asked)
        prefix, slash, rest = model.partition("/")
        provider = self._registry.prefixes.get(prefix) if slash and rest else None
        if provider is not None:
            leg = self._leg(provider, rest)
            if leg is not None:
                return self._single(model, leg)
        target = self._alias(model)
        if target is not None:
            return self._resolve(target, seen, suffix)
        if provider is None:
            owners = self._owners(model)
            if len(owners) == 1 and (leg := self._leg(owners[0], model)) is not None:
                return self._single(model, leg)
            if owners:
                choices = ", ".join(f"{self._prefix(owner)}/{model}" for owner in owners)
                raise ModelNotFound(f"several providers serve {model!r}", fix=f"say which: {choices}", param="model")
        raise self._not_found(model)

    def _combo(self, combo: "Combo", seen: tuple[str, ...], suffix: str | None) -> Route:
        """`suffix` orders this combo, and those inside it that name none of their own."""
        strategy = self._guards.of(combo.strategy if suffix is None else self._orders.of(combo.name, suffix))
        by_target: dict[Target, Leg | Route] = {}
        names: dict[Target, str] = {}
        around: dict[Target, tuple[Target, ...]] = {}
        observers = [strategy]
        for model in combo.models:
            entry = self._entry(model, seen, suffix)
            by_target.setdefault(entry.target, entry)
            names.setdefault(entry.target, model)
            if isinstance(entry, Route):
                observers += entry.observers
                around |= {leg: (entry.target, *inner) for leg, inner in legs(entry)}
        return Route(
            name=combo.name,
            entries=tuple(by_target.values()),
            strategy=strategy,
            is_combo=True,
            terms=combo.terms,
            counted=(Target(provider="", model=combo.name),),
            loss=combo.loss,
            by_target=by_target,
            targets=tuple(by_target),
            names=names,
            around=around,
            observers=tuple(observers),
        )

    def _entry(self, model: str, seen: tuple[str, ...], suffix: str | None) -> "Leg | Route":
        """A combo's entry; one that leads nowhere stays in the list with its reason."""
        try:
            route = self._resolve(model, seen, suffix)
        except ModelNotFound as error:
            return Leg(target=Target(provider="", model=model), candidates=(), reason=error.text)
        return route if route.is_combo else route.entries[0]

    def _single(self, model: str, leg: Leg) -> Route:
        if not leg.candidates:
            raise ModelNotFound(
                f"nothing can serve {model!r}",
                why=leg.reason,
                fix=f"omniroute account add {leg.target.provider}, or see `omniroute account list`",
                param="model",
            )
        return Route(name=model, entries=(leg,), terms=self._terms)

    def _alias(self, model: str) -> str | None:
        exact = self._aliases.get(model)
        if exact is not None:
            return exact
        return next((target for pattern, target in self._patterns if pattern.fullmatch(model)), None)

    def _leg(self, provider_name: str, model_id: str) -> Leg | None:
        """None when the provider does not have this model."""
        provider = self._registry.providers[provider_name]
        accounts = self._accounts.of(provider_name)
        target = Target(provider=provider_name, model=model_id)
        known = self._known(provider_name).get(model_id)
        by_target = {
            candidate.target: candidate
            for account in accounts
            if (candidate := self._candidate(provider, account, target, known)) is not None
        }
        if by_target:
            return Leg(
                target=target,
                candidates=tuple(by_target.values()),
                strategy=self._guards.pool(provider_name),
                by_target=by_target,
                targets=tuple(by_target),
            )
        if known is None and not provider.facts.any_model:
            return None
        reason = (
            f"no account of provider {provider_name!r} has it" if accounts else self._accounts.why_none(provider_name)
        )
        return Leg(target=target, candidates=(), reason=reason)

    def _candidate(
        self, provider: Provider, account: Account, leg: Target, known: ModelFacts | None
    ) -> Candidate | None:
        live = None if account.models is None else next((m for m in account.models if m.id == leg.model), None)
        if live is None and not provider.facts.any_model and (account.models is not None or known is None):
            return None
        facts = self._priced(leg, live or known)
        transport = provider.facts.transport or self._default_transport
        return Candidate(
            target=replace(leg, account=account.name),
            provider=provider,
            account=account,
            model=facts,
            translator=self._registry.translators[facts.dialect or provider.facts.dialect],
            transport=self._transports[transport],
            adapts=provider.adapts(facts),
            leg=leg,
            bucket=provider.bucket(facts),
            timeouts=_timeouts(provider.facts, facts),
        )

    def _priced(self, leg: Target, known: ModelFacts | None) -> ModelFacts:
        price = self._registry.prices.get((leg.provider, leg.model))
        return priced(known or ModelFacts(id=leg.model), price)

    def facts_of(self, target: Target) -> ModelFacts | None:
        """What is known of a leg's or candidate's model; None for a combo."""
        if target.provider not in self._registry.providers:
            return None
        return self._priced(target, self._models(target.provider).get(target.model))

    def _known(self, provider_name: str) -> Mapping[str, ModelFacts]:
        return {model.id: model for model in self._registry.providers[provider_name].facts.models}

    def _owners(self, model: str) -> list[str]:
        """Providers that list the model: those with an account if any has one, else all."""
        owners = [name for name in self._registry.providers if model in self._models(name)]
        return [name for name in owners if self._accounts.of(name)] or owners

    def _models(self, provider_name: str) -> Mapping[str, ModelFacts]:
        """What a provider is known to serve, over all its accounts; live lists first."""
        served = self._served.get(provider_name)
        if served is not None:
            return served
        known = self._known(provider_name)
        live = [account.models for account in self._accounts.of(provider_name)]
        shown_by_facts = not live or any(models is None for models in live)
        found = dict(known) if shown_by_facts else {}
        found |= {model.id: model for model in itertools.chain.from_iterable(models or () for models in live)}
        self._served[provider_name] = found
        return found

    def _not_found(self, model: str) -> ModelNotFound:
        names = [listed.id for listed in self.listed()][:MAX_COMPARED]
        bare = {name.partition("/")[2]: name for name in names if "/" in name}
        last = model.partition("/")[2] or model
        near = [*difflib.get_close_matches(model, names, n=3), *difflib.get_close_matches(last, bare, n=3)]
        close = list(dict.fromkeys(bare.get(name, name) for name in near))[:3]
        shown = ascii(model[:120])
        if close:
            return ModelNotFound(f"no provider serves {shown}; closest: {', '.join(close)}", param="model")
        return ModelNotFound(
            f"no provider serves {shown}", fix="`omniroute models list` shows what can be asked for", param="model"
        )

    # --- route to candidates ------------------------------------------------------------------------------------------

    def candidates(self, route: Route, context: RouteContext | None) -> Iterator[Candidate]:
        """All candidates of a route, best first, each once. Accounts and inner combos are ordered when it is their turn.

        Without a context no strategy is asked, so that none counts a turn: the lists keep their order.
        """
        found = walk(route, context)
        return once(found) if route.around else found

    def begin(self, route: Route, candidate: Candidate, now_s: float) -> Running:
        """An attempt at one of the route's candidates, or at its last resort's, is being sent."""
        concerned = route.overview.concerned.get(candidate.target) or self._concerned(route, candidate)
        return self.standing.begin(concerned[0], now_s, concerned[1])

    def _concerned(self, route: Route, candidate: Candidate) -> Concerned:
        targets = (candidate.target, candidate.leg, *route.around.get(candidate.leg, ()), *route.counted)
        pool = self._guards.pool(candidate.leg.provider)
        return targets, route.observers if pool is None else (*route.observers, pool)

    # --- what can be asked for ----------------------------------------------------------------------------------------

    def listed(self) -> tuple[ListedModel, ...]:
        """Everything a client can ask for now: combos, exact aliases, then models of providers with an account."""
        if self._listed is None:
            combos = (ListedModel(id=name, provider="combo", kind="combo") for name in self._registry.combos)
            aliases = (ListedModel(id=name, provider="alias", kind="alias") for name in self._aliases)
            models = (
                ListedModel(
                    id=f"{self._prefix(provider)}/{model.id}",
                    provider=provider,
                    name=model.name,
                    created_s=model.created_s,
                    context_tokens=model.context_tokens,
                    max_output_tokens=model.max_output_tokens,
                    capabilities=model.capabilities,
                    price=self._priced(Target(provider=provider, model=model.id), model).price,
                )
                for provider in self._registry.providers
                if self._accounts.of(provider)
                for model in self._models(provider).values()
            )
            self._listed = tuple({entry.id: entry for entry in (*models, *aliases, *combos)}.values())
        return self._listed

    def name_of(self, target: Target) -> str:
        """As a client may ask for it: `prefix/model`."""
        return f"{self._prefix(target.provider)}/{target.model}"

    def _prefix(self, provider_name: str) -> str:
        aliases = self._registry.providers[provider_name].facts.aliases
        return aliases[0] if aliases else provider_name


NO_TIMEOUTS = TimeoutFacts()


def _timeouts(provider: ProviderFacts, model: ModelFacts) -> TimeoutFacts:
    """The nearest statement about each: of the settings for the model, of the facts for it, of the provider."""
    return provider.model_timeouts.get(model.id, NO_TIMEOUTS).over(model.timeouts.over(provider.timeouts))
