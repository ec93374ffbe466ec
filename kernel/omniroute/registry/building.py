"""From hooks and settings to a `Registry`.

Each hook is called once. Names that two plugins claim and names that nobody gave are all reported together. `[providers]`
and `[combos]` of the settings are applied here, for only here is it known what they may refer to.
"""

import re
import typing
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from omniroute.contracts import (
    ClientKeys,
    Framing,
    Operation,
    Price,
    Provider,
    ProviderFacts,
    Strategy,
    Translator,
    Transport,
)
from omniroute.model import Sampling
from omniroute.plugins import Plugins
from omniroute.provider import FactsProvider
from omniroute.registry.facts import KEYLESS, changed_facts, new_facts, references
from omniroute.registry.loops import find_loops
from omniroute.registry.models import models_never_served, unknown_names, unknown_orders, unknown_prefixes
from omniroute.registry.strategies import option_problems
from omniroute.registry.tables import KERNEL, SETTINGS, Combo, Entrance, Registry
from omniroute.routing.terms import terms_of
from omniroute.settings import ComboSettings, ProviderSettings, RoutingSettings, Settings
from omniroute.settings.checking import decode, keys_of
from omniroute.settings.paths import PLUGINS, KeyPath, did_you_mean, dotted

__all__ = ["build_registry"]

KERNEL_PATHS = re.compile(r"(/v1)?/models(/\{[^}]*\})?|/api(/.*)?|/healthz|/readyz")
COUNTING = ("counts", "count_text", "count_image", "overhead")
REFERENCE = {"dialect": "dialect", "auth": "auth scheme", "transport": "transport", "drops": "sampling field"}


def build_registry(
    plugins: Plugins,
    settings: Settings,
    *,
    keys: ClientKeys,
    transports: Iterable[Transport],
    framings: Iterable[Framing],
) -> Registry:
    """Call the hooks and put what they return together with the kernel's own `transports` and `framings`.

    Raises `PluginConflict`, `PluginError` or `SettingsError` with everything that is wrong. In safe mode a plugin that
    cannot be used is left out and named in `plugins.failed`, and settings that refer to what is not there become notes.
    """
    building = _Building(plugins, settings)
    own_framings = building.own("framing", framings)
    own_transports = building.own("transport", transports)
    translators = building.translators(own_framings)
    schemes = building.named("auth scheme", "register_auth_schemes", "name")
    all_transports = own_transports | building.named("transport", "register_transports", "name", settings=settings)
    strategies = building.named("strategy", "register_strategies", "name", needs=("options_type",))
    sinks = building.named("telemetry sink", "register_telemetry_sinks", "name", settings=settings)
    counters = building.named("token counter", "register_token_counters", "name", needs=COUNTING, settings=settings)
    authenticators = plugins.collect("register_authenticators", settings=settings, keys=keys)
    ingress = building.ingress(translators)
    providers = building.connected(building.providers(), translators, schemes, all_transports)
    prefixes = building.prefixes(providers)
    combos = building.combos(strategies)
    account_strategies = building.account_strategies(strategies, providers)
    prices = building.prices(prefixes)
    building.check_references(providers, prefixes, all_transports, strategies)
    plugins.check(building.findings)
    return Registry(
        translators=translators,
        ingress=ingress,
        providers=providers,
        prefixes=prefixes,
        strategies=strategies,
        combos=combos,
        account_strategies=account_strategies,
        prices=prices,
        auth_schemes=schemes,
        authenticators=tuple(authenticator for _, authenticator in authenticators),
        sinks=sinks,
        token_counters=counters,
        transports=all_transports,
        framings=own_framings,
        origin_of=building.origin_of,
    )


class _Building:
    """The registry while it is being built: findings so far, and who gave what."""

    def __init__(self, plugins: Plugins, settings: Settings) -> None:
        self.plugins = plugins
        self.settings = settings
        self.findings: list[str] = []
        self.origin_of: dict[tuple[str, str], str] = {}
        self.broken: set[str] = set()
        """Names and aliases of providers with a finding of their own; what refers to them needs no second one."""
        self.stated: set[str] = set()
        """Models that providers come with or that the settings give them, of broken ones too."""

    def find(self, path: KeyPath, problem: str) -> None:
        self.findings.append(f"{self.settings.place(path)}: {dotted(path)}: {problem}")

    def miss(self, path: KeyPath, problem: str) -> None:
        """Something refers to what nobody gave: in safe mode perhaps a plugin that was left out, so only noted."""
        if self.plugins.safe_mode:
            self.note(path, problem)
        else:
            self.find(path, problem)

    def note(self, path: KeyPath, problem: str) -> None:
        """Doubtful, and no reason not to start."""
        self.plugins.notes.append(f"{self.settings.place(path)}: {dotted(path)}: {problem}")

    # --- by name

    def own(self, kind: str, things: Iterable[Any]) -> dict[str, Any]:
        """What the kernel itself brings."""
        found = {thing.name: thing for thing in things}
        self.origin_of |= {(kind, name): KERNEL for name in found}
        return found

    def named(
        self, kind: str, hook: str, attribute: str, *, needs: Iterable[str] = (), **arguments: object
    ) -> dict[str, Any]:
        """What plugins return from a hook, by the attribute that names it; a name counts once."""
        found: dict[str, Any] = {}
        for plugin, thing in self.plugins.collect(hook, **arguments):
            lacking = [each for each in (attribute, *needs) if not hasattr(thing, each)]
            name = getattr(thing, attribute, None)
            if lacking or not isinstance(name, str) or not name:
                reason = f"without {lacking[0]}" if lacking else f"whose {attribute} is no text"
                self.plugins.blame(plugin, f"returned a {kind} {reason} from {hook}")
            else:
                self._take(kind, name, plugin, thing, found)
        return found

    def _take(self, kind: str, name: str, plugin: str, thing: Any, found: dict[str, Any]) -> None:
        if (other := self.origin_of.get((kind, name))) is not None:
            self._conflict(plugin, other, f"the {kind} {name!r}")
        else:
            self.origin_of[kind, name] = plugin
            found[name] = thing

    def _conflict(self, plugin: str, other: str, what: str) -> None:
        whose = "the kernel" if other == KERNEL else self.plugins.title(other)
        self.plugins.blame(plugin, f"brings {what}, which {whose} has already", is_conflict=True)

    # --- translators

    def translators(self, framings: Mapping[str, Framing]) -> dict[str, Translator]:
        found = self.named("translator", "register_translators", "dialect", needs=("framing", "ingress"))
        unframed = {dialect: each.framing for dialect, each in found.items() if each.framing not in framings}
        for dialect, framing in unframed.items():
            problem = f"no framing is called {framing!r}{did_you_mean(framing, framings)}"
            self.plugins.blame(self.origin_of["translator", dialect], f"translator {dialect!r}: {problem}")
            if self.plugins.safe_mode:
                del found[dialect]
        return found

    def ingress(self, translators: Mapping[str, Translator]) -> dict[tuple[str, str], Entrance]:
        table: dict[tuple[str, str], Entrance] = {}
        claimed: dict[tuple[str, str], str] = {}
        for dialect, translator in translators.items():
            plugin = self.origin_of["translator", dialect]
            for ingress in translator.ingress:
                shape = (ingress.method, re.sub(r"\{[^}]*\}", "{}", ingress.path))
                if ingress.operation not in typing.get_args(Operation):
                    self.plugins.blame(plugin, f"translator {dialect!r}: no operation is called {ingress.operation!r}")
                elif KERNEL_PATHS.fullmatch(ingress.path):
                    self._conflict(plugin, KERNEL, f"the path {ingress.method} {ingress.path}")
                elif shape in claimed:
                    self._conflict(plugin, claimed[shape], f"the path {ingress.method} {ingress.path}")
                else:
                    claimed[shape] = plugin
                    table[ingress.method, ingress.path] = Entrance(translator=translator, ingress=ingress)
        return table

    # --- providers

    def providers(self) -> dict[str, Provider]:
        """Those of the plugins as the settings want them, and those that only the settings have."""
        found: dict[str, Provider] = {}
        for plugin, provider in self.plugins.collect("register_providers", settings=self.settings):
            facts = getattr(provider, "facts", None)
            if isinstance(facts, ProviderFacts) and facts.name and "/" not in facts.name:
                self._take("provider", facts.name, plugin, provider, found)
            else:
                self.plugins.blame(plugin, "returned a provider without facts, or with a name that has a slash")
        aliases = {alias: name for name, provider in found.items() for alias in provider.facts.aliases}
        for name, table in self.settings.providers.items():
            if name in found:
                found[name] = self._changed(found[name], table)
            elif name in aliases:
                self._break(name, (), f"is an alias of another provider; write [providers.{aliases[name]}]")
            elif table.dialect is None or table.base_url is None:
                hint = did_you_mean(name, found)
                self._break(name, (), f"is not installed, and a new provider needs dialect and base_url{hint}")
            else:
                self.origin_of["provider", name] = SETTINGS
                found[name] = FactsProvider(new_facts(name, table, has_key=self._has_key(name, table)))
            self.stated.update(table.models or ())
        self.stated.update(model.id for provider in found.values() for model in provider.facts.models)
        return found

    def _break(self, name: str, below: KeyPath, problem: str) -> None:
        self.broken.add(name)
        self.find(("providers", name, *below), problem)

    def _has_key(self, name: str, table: ProviderSettings) -> bool:
        accounts = [account for account in self.settings.accounts if account.provider == name]
        return table.api_key is not None or any(account.api_key is not None for account in accounts)

    def _changed(self, provider: Provider, table: ProviderSettings) -> Provider:
        name, facts = provider.facts.name, changed_facts(provider.facts, table)
        if facts == provider.facts:
            return provider
        if isinstance(provider, FactsProvider):
            try:
                return type(provider)(facts)
            except TypeError:
                pass  # its constructor wants more than facts
        plugin = self.plugins.title(self.origin_of["provider", name])
        self._break(name, (), f"cannot be overridden: {plugin} makes it of more than facts")
        return provider

    def connected(
        self,
        providers: Mapping[str, Provider],
        translators: Mapping[str, Translator],
        schemes: Mapping[str, object],
        transports: Mapping[str, Transport],
    ) -> dict[str, Provider]:
        """The providers whose references all lead somewhere."""
        known: dict[str, Iterable[str]] = {
            "dialect": translators,
            "auth": {*schemes, KEYLESS},
            "transport": transports,
            "drops": Sampling.__struct_fields__,
        }
        found = dict(providers)
        for name, provider in providers.items():
            for field, value in dict.fromkeys(references(provider.facts)):
                if value in known[field]:
                    continue
                found.pop(name, None)
                self.broken |= {name, *provider.facts.aliases}
                problem = f"no {REFERENCE[field]} is called {value!r}{did_you_mean(value, known[field])}"
                table = self.settings.providers.get(name)
                if table is not None and getattr(table, field) is not None:
                    self.find(("providers", name, field), problem)
                else:
                    self.plugins.blame(self.origin_of["provider", name], f"provider {name!r}: {problem}")
        return found

    def prefixes(self, providers: Mapping[str, Provider]) -> dict[str, str]:
        found = {name: name for name in providers}
        for name, provider in providers.items():
            for alias in provider.facts.aliases:
                owner = found.setdefault(alias, name)
                if owner != name:
                    self._prefix_conflict(alias, name, owner)
        return found

    def _prefix_conflict(self, alias: str, name: str, owner: str) -> None:
        plugin, other = self.origin_of["provider", name], self.origin_of["provider", owner]
        table = self.settings.providers.get(name)
        if table is not None and table.aliases is not None:
            self.find(("providers", name, "aliases"), f"{alias!r} is a prefix of provider {owner!r} already")
        elif other == SETTINGS:
            self.find(("providers", owner), f"its prefix {alias!r} is one of provider {name!r} already")
        else:
            self._conflict(plugin, other, f"the prefix {alias!r} (of provider {name!r}; the other's is {owner!r})")

    # --- strategies

    def combos(self, strategies: Mapping[str, type[Strategy]]) -> dict[str, Combo]:
        found = {}
        for name, table in self.settings.combos.items():
            kind = strategies.get(table.strategy)
            if kind is None:
                hint = did_you_mean(table.strategy, strategies)
                self.miss(("combos", name, "strategy"), f"no strategy is called {table.strategy!r}{hint}")
                continue
            strategy = self._strategy(table.strategy, kind, table.options, ("combos", name), table.models)
            if strategy is not None:
                found[name] = Combo(
                    name=name,
                    models=table.models,
                    strategy=strategy,
                    loss=table.loss,
                    label=table.label or name,
                    terms=terms_of(self.settings, table),
                )
        return found

    def account_strategies(
        self, strategies: Mapping[str, type[Strategy]], providers: Iterable[str]
    ) -> dict[str, Strategy]:
        """None where the default has no plugin: accounts come by priority anyway."""
        routing = self.settings.routing
        name, options = routing.account_strategy, routing.account_options
        kind = strategies.get(name)
        if kind is None:
            if name != RoutingSettings().account_strategy:
                hint = did_you_mean(name, strategies)
                self.miss(("routing", "account_strategy"), f"no strategy is called {name!r}{hint}")
            return {}
        path = ("routing", "account_options")
        if self._strategy(name, kind, options, path) is None:
            return {}
        return {provider: kind(decode(kind.options_type, options)) for provider in providers}

    def _strategy(
        self,
        name: str,
        kind: type[Strategy],
        options: Mapping[str, Any],
        path: KeyPath,
        entries: Iterable[str] | None = None,
    ) -> Strategy | None:
        """None when the options do not fit, which is found."""
        own = keys_of(ComboSettings) if entries is not None else {}
        problems = list(option_problems(name, options, kind, path, entries=entries, own=own))
        for at, problem in problems:
            self.find(at, problem)
        if problems:
            return None
        try:
            return kind(decode(kind.options_type, options))
        except Exception as error:  # a stranger's constructor
            self.find(path, f"the strategy {name!r} refuses its options: {type(error).__name__}: {error}")
            return None

    def prices(self, prefixes: Mapping[str, str]) -> dict[tuple[str, str], Price]:
        found = {}
        for name, table in self.settings.prices.items():
            prefix, slash, model = name.partition("/")
            provider = prefixes.get(prefix)
            if not slash or not model:
                self.find(("prices", name), 'is not written as "prefix/model"')
            elif provider is None and prefix not in self.broken:
                hint = did_you_mean(prefix, prefixes)
                self.miss(("prices", name), f"no provider has the prefix {prefix!r} of {name!r}{hint}")
            elif provider is not None:
                found[provider, model] = Price(**msgspec.structs.asdict(table))
        return found

    # --- what the settings refer to

    def check_references(
        self,
        providers: Mapping[str, Provider],
        prefixes: Mapping[str, str],
        transports: Mapping[str, Transport],
        strategies: Mapping[str, type[Strategy]],
    ) -> None:
        settings = self.settings
        if settings.server.transport not in transports:
            hint = did_you_mean(settings.server.transport, transports)
            self.find(("server", "transport"), f"no transport is called {settings.server.transport!r}{hint}")
        for name in settings.plugin_sections:
            if name not in self.plugins.known:
                hint = did_you_mean(name, self.plugins.known)
                self.find((PLUGINS, name), f"no installed plugin is called {name!r}{hint}")
        for at, account in enumerate(settings.accounts):
            if account.provider not in providers and account.provider not in self.broken:
                owner = prefixes.get(account.provider)
                hint = f"; it is an alias, write {owner!r}" if owner else did_you_mean(account.provider, providers)
                self.miss(("accounts", at, "provider"), f"no provider is called {account.provider!r}{hint}")
        for path, problem in unknown_prefixes(settings, providers, {*prefixes, *self.broken}):
            self.miss(path, problem)
        for path, problem in unknown_orders(settings, strategies):
            self.miss(path, problem)
        for path, problem in unknown_names(settings, self.stated):
            self.miss(path, problem)
        for path, problem in models_never_served(settings, providers, prefixes):
            self.find(path, problem)
        for path, problem in find_loops(settings):
            self.find(path, problem)
