"""From a model string to an ordered list of candidates. Sync, in memory, no clock of its own.

Order of meaning: combo, `prefix/model` at the first slash, alias (exact, then wildcards), bare name that exactly one
provider owns. Anything else is a `ModelNotFound` that names the closest. Answers are kept until accounts change.
"""

import difflib
import functools
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

from omniroute.contracts import (
    Account,
    CredentialPlace,
    ListedModel,
    LossPolicy,
    ModelFacts,
    Provider,
    RouteContext,
    Strategy,
    Target,
    Translator,
    Transport,
)
from omniroute.errors import InvalidRequest, ModelNotFound

if TYPE_CHECKING:
    from omniroute.registry import Registry

__all__ = ["AccountTable", "Candidate", "Route", "Router", "specificity"]

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


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """One way to serve a request, with everything looked up that does not depend on the request."""

    target: Target
    provider: Provider
    account: Account
    model: ModelFacts
    translator: Translator
    transport: Transport
    adapts: bool
    """The provider may want the request changed; False allows relaying without decoding."""

    @property
    def place(self) -> CredentialPlace:
        return self.translator.credential


class Leg(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a route: a model at a provider, on each account that has it."""

    target: Target
    candidates: tuple[Candidate, ...]
    reason: str = ""
    """Why there are none."""


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Where a model string leads."""

    name: str
    entries: tuple["Leg | Route", ...]
    strategy: Strategy | None = None
    """None keeps the order of `entries`."""
    is_combo: bool = False
    loss: LossPolicy | None = None
    """The combo's word on what translation may lose."""

    @property
    def target(self) -> Target:
        return Target(provider="", model=self.name)


class Router:
    def __init__(
        self,
        registry: "Registry",
        accounts: AccountTable,
        *,
        aliases: Mapping[str, str],
        transports: Mapping[str, Transport],
        default_transport: str,
    ) -> None:
        self._registry = registry
        self._accounts = accounts
        self._transports = transports
        self._default_transport = default_transport
        self._aliases = {name: target for name, target in aliases.items() if not _is_pattern(name)}
        patterns = [(name, target) for name, target in aliases.items() if _is_pattern(name)]
        patterns.sort(key=lambda pair: (-specificity(pair[0]), pair[0]))
        self._patterns = [(_compiled(name), target) for name, target in patterns]
        self._remembered: dict[str, Route] = {}
        self._listed: tuple[ListedModel, ...] | None = None

    def forget(self) -> None:
        """Accounts or models have changed."""
        self._remembered = {}
        self._listed = None

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
            route = self._resolve(model, seen=())
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered = {}
            self._remembered[model] = route
        return route

    def _resolve(self, model: str, seen: tuple[str, ...]) -> Route:
        if model in seen:  # settings are checked for cycles at start; an alias made since then may close one
            raise ModelNotFound(f"the alias {model!r} leads back to itself", param="model")
        seen = (*seen, model)
        combo = self._registry.combos.get(model)
        if combo is not None:
            entries = tuple(self._entry(entry, seen) for entry in combo.models)
            return Route(name=model, entries=entries, strategy=combo.strategy, is_combo=True, loss=combo.loss)
        prefix, slash, rest = model.partition("/")
        provider = self._registry.prefixes.get(prefix) if slash and rest else None
        if provider is not None:
            leg = self._leg(provider, rest)
            if leg is not None:
                return self._single(model, leg)
        target = self._alias(model)
        if target is not None:
            return self._resolve(target, seen)
        if provider is None:
            owners = self._owners(model)
            if len(owners) == 1 and (leg := self._leg(owners[0], model)) is not None:
                return self._single(model, leg)
            if owners:
                choices = ", ".join(f"{self._prefix(owner)}/{model}" for owner in owners)
                raise ModelNotFound(f"several providers serve {model!r}", fix=f"say which: {choices}", param="model")
        raise self._not_found(model)

    def _entry(self, model: str, seen: tuple[str, ...]) -> "Leg | Route":
        """A combo's entry; one that leads nowhere stays in the list with its reason."""
        try:
            route = self._resolve(model, seen)
        except ModelNotFound as error:
            return Leg(target=Target(provider="", model=model), candidates=(), reason=error.text)
        return route if route.is_combo else route.entries[0]

    @staticmethod
    def _single(model: str, leg: Leg) -> Route:
        if not leg.candidates:
            raise ModelNotFound(
                f"nothing can serve {model!r}",
                why=leg.reason,
                fix=f"omniroute account add {leg.target.provider} --api-key-stdin",
                param="model",
            )
        return Route(name=model, entries=(leg,))

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
        candidates = tuple(
            candidate
            for account in accounts
            if (candidate := self._candidate(provider, account, model_id, known)) is not None
        )
        if candidates:
            return Leg(target=target, candidates=candidates)
        if known is None and not provider.facts.any_model:
            return None
        reason = (
            f"no account of provider {provider_name!r} has it"
            if accounts
            else f"provider {provider_name!r} has no account"
        )
        return Leg(target=target, candidates=(), reason=reason)

    def _candidate(
        self, provider: Provider, account: Account, model_id: str, known: ModelFacts | None
    ) -> Candidate | None:
        live = None if account.models is None else next((m for m in account.models if m.id == model_id), None)
        if live is None and not provider.facts.any_model and (account.models is not None or known is None):
            return None
        facts = known or live or ModelFacts(id=model_id)
        transport = provider.facts.transport or self._default_transport
        return Candidate(
            target=Target(provider=provider.facts.name, model=model_id, account=account.name),
            provider=provider,
            account=account,
            model=facts,
            translator=self._registry.translators[facts.dialect or provider.facts.dialect],
            transport=self._transports[transport],
            adapts=provider.adapts(facts),
        )

    def _known(self, provider_name: str) -> Mapping[str, ModelFacts]:
        return {model.id: model for model in self._registry.providers[provider_name].facts.models}

    def _owners(self, model: str) -> list[str]:
        """Providers that list the model: those with an account if any has one, else all."""
        owners = [name for name in self._registry.providers if model in self._models(name)]
        return [name for name in owners if self._accounts.of(name)] or owners

    def _models(self, provider_name: str) -> Mapping[str, ModelFacts]:
        """What a provider is known to serve, over all its accounts; live lists first."""
        known = self._known(provider_name)
        live = [account.models for account in self._accounts.of(provider_name)]
        shown_by_facts = not live or any(models is None for models in live)
        found = dict(known) if shown_by_facts else {}
        for model in itertools.chain.from_iterable(models or () for models in live):
            found.setdefault(model.id, known.get(model.id, model))
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

    def candidates(self, route: Route, context: RouteContext) -> list[Candidate]:
        """All candidates of a route, best first, each once."""
        if len(route.entries) == 1 and isinstance(route.entries[0], Leg):
            return list(route.entries[0].candidates)
        found: dict[Target, Candidate] = {}
        for entry in self._ordered(route, context):
            of_entry = entry.candidates if isinstance(entry, Leg) else self.candidates(entry, context)
            for candidate in of_entry:
                found.setdefault(candidate.target, candidate)
        return list(found.values())

    @staticmethod
    def _ordered(route: Route, context: RouteContext) -> Iterable["Leg | Route"]:
        if route.strategy is None:
            return route.entries
        by_target = {entry.target: entry for entry in route.entries}
        return [by_target[target] for target in route.strategy.order(list(by_target), context)]

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
                )
                for provider in self._registry.providers
                if self._accounts.of(provider)
                for model in self._models(provider).values()
            )
            self._listed = tuple({entry.id: entry for entry in (*models, *aliases, *combos)}.values())
        return self._listed

    def _prefix(self, provider_name: str) -> str:
        aliases = self._registry.providers[provider_name].facts.aliases
        return aliases[0] if aliases else provider_name


# --- wildcards --------------------------------------------------------------------------------------------------------


def specificity(pattern: str) -> int:
    """How closely a wildcard pattern describes its models; the highest wins."""
    runs, singles = pattern.count("*"), pattern.count("?")
    literals = len(pattern) - runs - singles
    return len(pattern) + 10 * literals - 50 * runs - 5 * singles


def _is_pattern(name: str) -> bool:
    return "*" in name or "?" in name


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    body = "".join(".*" if char == "*" else "." if char == "?" else re.escape(char) for char in pattern)
    return re.compile(body, re.IGNORECASE | re.DOTALL)
