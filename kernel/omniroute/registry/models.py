"""Model strings in the settings that lead nowhere: of combos, aliases and the last resort."""

import fnmatch
from collections.abc import Collection, Iterator, Mapping

from omniroute.contracts import Provider
from omniroute.routing.orders import SUFFIXES
from omniroute.settings import Settings
from omniroute.settings.checking import Problem
from omniroute.settings.paths import KeyPath, closest, did_you_mean

__all__ = ["models_never_served", "unknown_names", "unknown_orders", "unknown_prefixes"]


def unknown_prefixes(
    settings: Settings, providers: Mapping[str, Provider], prefixes: Collection[str]
) -> Iterator[Problem]:
    """Those that no provider answers to."""
    for path, model in _doubtful(settings, providers):
        prefix, _, _ = model.partition("/")
        if prefix not in prefixes:
            yield path, f"no provider has the prefix {prefix!r} of {model!r}{did_you_mean(prefix, prefixes)}"


def models_never_served(
    settings: Settings, providers: Mapping[str, Provider], prefixes: Mapping[str, str]
) -> Iterator[Problem]:
    """Those whose provider has a list that is all there is."""
    for path, model in _doubtful(settings, providers):
        prefix, _, rest = model.partition("/")
        provider = providers.get(prefixes.get(prefix, ""))
        if provider is not None and _lacks(provider, rest):
            name = provider.facts.name
            hint = did_you_mean(rest, [known.id for known in provider.facts.models])
            fix = f"[providers.{name}] any_model = true has others passed on"
            yield path, f"provider {name!r} has no model {rest!r}{hint} ({fix})"


def unknown_names(settings: Settings, stated: Collection[str]) -> Iterator[Problem]:
    """Bare names that are no combo, no alias, and none of the models that providers are `stated` to have."""
    for path, model in _wanted(settings):
        if "/" not in model and model not in stated and not _is_given(model, settings):
            near = closest(model, [*stated, *settings.combos, *settings.aliases])
            hint = f"; did you mean {near!r}?" if near else ""
            fix = "a model that only a provider's live list has is written 'prefix/model'"
            yield path, f"no model, combo or alias is known as {model!r}{hint} ({fix})"


def unknown_orders(settings: Settings, strategies: Collection[str]) -> Iterator[Problem]:
    """`combo:suffix` where the suffix is none, or stands for a strategy that is not there."""
    for path, model in _wanted(settings):
        combo, colon, suffix = model.rpartition(":")
        if not colon or model in settings.combos or combo not in settings.combos:
            continue
        if suffix not in SUFFIXES:
            yield path, f"the combo {combo!r} has no order {suffix!r}{did_you_mean(suffix, SUFFIXES)}"
        elif SUFFIXES[suffix] not in strategies:
            yield path, f"{model!r} needs the strategy {SUFFIXES[suffix]!r}, which is not installed"


def _doubtful(settings: Settings, providers: Mapping[str, Provider]) -> Iterator[tuple[KeyPath, str]]:
    """Each that is written `prefix/model` and means just that: it is no combo or alias, and nobody's model as a whole."""
    listed = {model.id for provider in providers.values() for model in provider.facts.models}
    for path, model in _wanted(settings):
        if "/" in model and model not in listed and not _is_given(model, settings):
            yield path, model


def _wanted(settings: Settings) -> Iterator[tuple[KeyPath, str]]:
    for name, combo in settings.combos.items():
        yield from ((("combos", name, "models", at), model) for at, model in enumerate(combo.models))
    yield from ((("aliases", name), target) for name, target in settings.aliases.items())
    if settings.routing.last_resort is not None:
        yield ("routing", "last_resort"), settings.routing.last_resort


def _is_given(model: str, settings: Settings) -> bool:
    """A combo's name, perhaps with a suffix, an alias's, or one that an alias's pattern fits."""
    patterns = (alias.lower().replace("[", "[[]") for alias in settings.aliases)
    names = {model, model.rpartition(":")[0]}
    return not names.isdisjoint(settings.combos) or any(fnmatch.fnmatchcase(model.lower(), each) for each in patterns)


def _lacks(provider: Provider, model: str) -> bool:
    """Whether it is certain that the provider never has the model: no server adds to its list."""
    facts = provider.facts
    if facts.any_model or not facts.models or provider.probe():
        return False
    return all(known.id != model for known in facts.models)
