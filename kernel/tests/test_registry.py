from collections.abc import Mapping
from types import SimpleNamespace

import msgspec
import pytest

from omniroute.contracts import (
    CredentialPlace,
    EntryName,
    Ingress,
    ModelFacts,
    Price,
    ProviderFacts,
    TimeoutFacts,
)
from omniroute.errors import PluginConflict, PluginError, SettingsError
from omniroute.hookspecs import hookimpl
from omniroute.plugins import load_plugins
from omniroute.provider import FactsProvider
from omniroute.registry import Registry, build_registry
from omniroute.secret import Secret
from omniroute.settings import (
    AccountSettings,
    ComboSettings,
    PluginSettings,
    PriceSettings,
    ProviderSettings,
    RoutingSettings,
    ServerSettings,
    Settings,
)
from omniroute.settings.schema import ProviderCredentialPlace, ProviderTimeouts

SSE = SimpleNamespace(name="sse")
AIOHTTP = SimpleNamespace(name="aiohttp")
KEYS = SimpleNamespace()
ROOT = "https://api.example/v1"


class Options(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    sticky: int = 1


class FillFirst:
    name = "fill-first"
    options_type = Options

    def __init__(self, options):
        self.options = options


class Quickest(FillFirst):
    name = "lowest-latency"


class WeighedOptions(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    weights: dict[EntryName, float] = {}


class Weighed(FillFirst):
    name = "weighed"
    options_type = WeighedOptions


class Picky(FillFirst):
    name = "picky"

    def __init__(self, options):
        raise RuntimeError("not today")


class Plugin:
    """A plugin object that returns what it is given; a hook it has nothing for it does not implement."""

    def __init__(self, **things):
        for hook, found in things.items():
            setattr(self, f"register_{hook}", self._hook(found))

    @staticmethod
    def _hook(found):
        @hookimpl
        def register():
            return found

        return register


def translator(dialect="openai-chat", *, framing="sse", ingress=()):
    return SimpleNamespace(dialect=dialect, framing=framing, ingress=ingress)


def provider(name="acme", *, kind=FactsProvider, **facts):
    return kind(ProviderFacts(**{"name": name, "dialect": "openai-chat", "base_url": ROOT, **facts}))


def named(name):
    return SimpleNamespace(name=name)


def counter(name):
    return SimpleNamespace(name=name, counts=None, count_text=None, count_image=None, overhead=None)


def standard(**more) -> dict[str, Plugin]:
    """What most settings need, and `more` plugins."""
    return {
        "translators": Plugin(translators=[translator()]),
        "strategies": Plugin(strategies=[FillFirst, Picky, Quickest, Weighed]),
        "auth": Plugin(auth_schemes=[named("api-key")]),
        **more,
    }


def build(plugins: Mapping[str, object], settings: Settings | None = None, *, safe_mode: bool = False) -> Registry:
    return _build(plugins, settings, safe_mode=safe_mode)[0]


def _build(plugins, settings=None, *, safe_mode=False):
    loaded = load_plugins(PluginSettings(), installed=(), given=plugins, safe_mode=safe_mode)
    registry = build_registry(loaded, settings or settings_of(), keys=KEYS, transports=[AIOHTTP], framings=[SSE])
    return registry, loaded


def findings(plugins, settings=None, *, kind=SettingsError) -> list[str]:
    with pytest.raises(kind) as caught:
        build(plugins, settings)
    assert type(caught.value) is kind
    return list(caught.value.findings)


def settings_of(**sections) -> Settings:
    return Settings(**{"server": ServerSettings(transport="aiohttp"), **sections})


# --- what is given ----------------------------------------------------------------------------------------------------


def test_everything_is_found_by_its_name_with_its_origin():
    speak = translator(ingress=(Ingress(path="/v1/chat/completions", operation="chat"),))
    acme = provider(aliases=("ac",))
    registry = build(
        {
            "a": Plugin(translators=[speak], providers=[acme], strategies=[FillFirst]),
            "b": Plugin(auth_schemes=[named("api-key")], telemetry_sinks=[named("log")], transports=[named("fast")]),
            "c": Plugin(authenticators=["who"], token_counters=[counter("letters")]),
        }
    )
    assert registry.translators == {"openai-chat": speak}
    assert registry.ingress["POST", "/v1/chat/completions"].translator is speak
    assert registry.providers == {"acme": acme}
    assert registry.prefixes == {"acme": "acme", "ac": "acme"}
    assert registry.strategies == {"fill-first": FillFirst}
    assert list(registry.auth_schemes) == ["api-key"]
    assert list(registry.sinks) == ["log"]
    assert list(registry.token_counters) == ["letters"]
    assert list(registry.transports) == ["aiohttp", "fast"]
    assert list(registry.framings) == ["sse"]
    assert registry.authenticators == ("who",)
    assert registry.origin_of == {
        ("framing", "sse"): "kernel",
        ("transport", "aiohttp"): "kernel",
        ("transport", "fast"): "b",
        ("translator", "openai-chat"): "a",
        ("provider", "acme"): "a",
        ("strategy", "fill-first"): "a",
        ("auth scheme", "api-key"): "b",
        ("telemetry sink", "log"): "b",
        ("token counter", "letters"): "c",
    }


def test_token_counters_are_asked_in_the_order_of_their_plugins():
    registry = build({name: Plugin(token_counters=[counter(name)]) for name in "ba"})
    assert list(registry.token_counters) == ["a", "b"]


def test_a_token_counter_without_a_method_is_refused():
    half = SimpleNamespace(name="half", counts=None, count_text=None)
    assert findings(standard(mine=Plugin(token_counters=[half])), kind=PluginError) == [
        "plugin 'mine' returned a token counter without count_image from register_token_counters"
    ]


def test_authenticators_are_asked_in_the_order_of_their_plugins():
    registry = build(
        {"b": Plugin(authenticators=[2]), "a": Plugin(authenticators=[1]), "c": Plugin(authenticators=[3])}
    )
    assert registry.authenticators == (1, 2, 3)


@pytest.mark.parametrize(
    ("plugin", "reason"),
    [
        pytest.param(
            Plugin(strategies=[object]), "returned a strategy without name from register_strategies", id="none"
        ),
        pytest.param(Plugin(strategies=[named("x")]), "returned a strategy without options_type", id="half"),
        pytest.param(Plugin(transports=[named(5)]), "returned a transport whose name is no text", id="no text"),
        pytest.param(Plugin(providers=[object()]), "returned a provider without facts", id="no facts"),
        pytest.param(Plugin(providers=[provider("a/b")]), "returned a provider without facts, or with", id="slash"),
        pytest.param(
            Plugin(translators=[translator("x", framing="sss")]),
            "translator 'x': no framing is called 'sss'; did you mean 'sse'?",
            id="framing",
        ),
        pytest.param(
            Plugin(translators=[translator("x", ingress=(Ingress(path="/x", operation="dream"),))]),
            "translator 'x': no operation is called 'dream'",
            id="operation",
        ),
    ],
)
def test_what_is_not_what_it_should_be_is_reported_by_its_plugin(plugin, reason):
    [finding] = findings(standard(odd=plugin), kind=PluginError)
    assert finding.startswith(f"plugin 'odd' {reason}")


# --- conflicts --------------------------------------------------------------------------------------------------------

CHAT = Ingress(path="/x/{model}:go", operation="chat")


@pytest.mark.parametrize(
    ("one", "two", "what"),
    [
        pytest.param(
            Plugin(translators=[translator("x")]),
            Plugin(translators=[translator("x")]),
            "the translator 'x'",
            id="dialect",
        ),
        pytest.param(
            Plugin(translators=[translator("x", ingress=(CHAT,))]),
            Plugin(translators=[translator("y", ingress=(Ingress(path="/x/{id}:go", operation="chat"),))]),
            "the path POST /x/{id}:go",
            id="path",
        ),
        pytest.param(
            Plugin(providers=[provider("p")]), Plugin(providers=[provider("p")]), "the provider 'p'", id="name"
        ),
        pytest.param(
            Plugin(providers=[provider("p", aliases=("z",))]),
            Plugin(providers=[provider("q", aliases=("z",))]),
            "the prefix 'z' (of provider 'q'; the other's is 'p')",
            id="alias against alias",
        ),
        pytest.param(
            Plugin(providers=[provider("p")]),
            Plugin(providers=[provider("q", aliases=("p",))]),
            "the prefix 'p' (of provider 'q'; the other's is 'p')",
            id="alias against name",
        ),
        pytest.param(
            Plugin(strategies=[FillFirst]), Plugin(strategies=[FillFirst]), "the strategy 'fill-first'", id="strategy"
        ),
        pytest.param(
            Plugin(auth_schemes=[named("x")]),
            Plugin(auth_schemes=[named("x")]),
            "the auth scheme 'x'",
            id="auth scheme",
        ),
        pytest.param(
            Plugin(telemetry_sinks=[named("x")]),
            Plugin(telemetry_sinks=[named("x")]),
            "the telemetry sink 'x'",
            id="sink",
        ),
        pytest.param(
            Plugin(token_counters=[counter("x")]),
            Plugin(token_counters=[counter("x")]),
            "the token counter 'x'",
            id="token counter",
        ),
        pytest.param(
            Plugin(transports=[named("x")]), Plugin(transports=[named("x")]), "the transport 'x'", id="transport"
        ),
    ],
)
def test_two_plugins_that_want_one_thing_are_both_named(one, two, what):
    plugins = {name: plugin for name, plugin in standard().items() if name != "strategies"} | {"one": one, "two": two}
    assert findings(plugins, kind=PluginConflict) == [f"plugin 'two' brings {what}, which plugin 'one' has already"]


@pytest.mark.parametrize(
    ("plugin", "what"),
    [
        pytest.param(Plugin(transports=[named("aiohttp")]), "the transport 'aiohttp'", id="transport"),
        pytest.param(
            Plugin(
                translators=[translator("x", ingress=(Ingress(path="/v1/models", operation="models", method="GET"),))]
            ),
            "the path GET /v1/models",
            id="list of models",
        ),
        pytest.param(
            Plugin(translators=[translator("x", ingress=(Ingress(path="/api/keys", operation="chat"),))]),
            "the path POST /api/keys",
            id="management",
        ),
    ],
)
def test_what_is_the_kernels_stays_the_kernels(plugin, what):
    assert findings(standard(mine=plugin), kind=PluginConflict) == [
        f"plugin 'mine' brings {what}, which the kernel has already"
    ]


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        ({"dialect": "openai-chatt"}, "no dialect is called 'openai-chatt'; did you mean 'openai-chat'?"),
        ({"auth": "oauth"}, "no auth scheme is called 'oauth'; known: api-key, none"),
        ({"transport": "aiohtp"}, "no transport is called 'aiohtp'; did you mean 'aiohttp'?"),
        ({"drops": ("temprature",)}, "no sampling field is called 'temprature'; did you mean 'temperature'?"),
        ({"models": (ModelFacts(id="m", dialect="x"),)}, "no dialect is called 'x'; known: openai-chat"),
        (
            {"models": (ModelFacts(id="m", drops=("seeds",)),)},
            "no sampling field is called 'seeds'; did you mean 'seed'?",
        ),
    ],
)
def test_a_fact_that_refers_to_nothing_is_reported_with_the_closest_name(facts, problem):
    plugins = standard(acme=Plugin(providers=[provider(**facts)]))
    assert findings(plugins, kind=PluginError) == [f"plugin 'acme' provider 'acme': {problem}"]


def test_a_keyless_provider_needs_no_auth_scheme():
    plugins = {"t": Plugin(translators=[translator()]), "p": Plugin(providers=[provider(auth="none")])}
    assert list(build(plugins).providers) == ["acme"]


def test_everything_is_reported_at_once():
    plugins = standard(
        one=Plugin(providers=[provider(), provider("lost", auth="oauth")]),
        two=Plugin(providers=[provider()], transports=[named("aiohttp")]),
    )
    settings = settings_of(
        server=ServerSettings(transport="x"),
        accounts=(AccountSettings(provider="acne"),),
        combos={"c": ComboSettings(models=("acme/m",), strategy="fil-first")},
        places={"server.transport": "omniroute.toml:2"},
    )
    found = findings(plugins, settings, kind=PluginConflict)
    assert sorted(found) == sorted(
        [
            "plugin 'one' provider 'lost': no auth scheme is called 'oauth'; known: api-key, none",
            "plugin 'two' brings the provider 'acme', which plugin 'one' has already",
            "plugin 'two' brings the transport 'aiohttp', which the kernel has already",
            "omniroute.toml:2: server.transport: no transport is called 'x'; known: aiohttp",
            "settings: accounts[0].provider: no provider is called 'acne'; did you mean 'acme'?",
            "settings: combos.c.strategy: no strategy is called 'fil-first'; did you mean 'fill-first'?",
        ]
    )


# --- providers of the settings ----------------------------------------------------------------------------------------


class Quirky(FactsProvider):
    pass


FULL = {
    "headers": {"X-A": "1", "X-B": "2"},
    "timeouts": TimeoutFacts(connect_s=1, idle_s=2),
    "models": (ModelFacts(id="old", context_tokens=5), ModelFacts(id="gone")),
    "aliases": ("ac",),
}


@pytest.mark.parametrize(
    ("table", "changed"),
    [
        pytest.param({}, {}, id="nothing"),
        pytest.param({"base_url": "http://127.0.0.1:1/v1/"}, {"base_url": "http://127.0.0.1:1/v1"}, id="base_url"),
        pytest.param({"dialect": "anthropic"}, {"dialect": "anthropic"}, id="dialect"),
        pytest.param({"auth": "none"}, {"auth": "none"}, id="auth"),
        pytest.param({"aliases": ()}, {"aliases": ()}, id="no aliases"),
        pytest.param({"any_model": True, "tier": "free"}, {"any_model": True, "tier": "free"}, id="flags"),
        pytest.param({"drops": ("seed",)}, {"drops": ("seed",)}, id="drops"),
        pytest.param({"operations": ("chat",)}, {"operations": ("chat",)}, id="operations"),
        pytest.param(
            {"query": "a=1", "transport": "aiohttp"}, {"query": "a=1", "transport": "aiohttp"}, id="transport"
        ),
        pytest.param(
            {"headers": {"x-b": Secret("3"), "X-C": Secret("4")}},
            {"headers": {"x-a": "1", "x-b": "3", "x-c": "4"}},
            id="headers are merged",
        ),
        pytest.param(
            {"timeouts": ProviderTimeouts(idle_s=0, total_s=9)},
            {"timeouts": TimeoutFacts(connect_s=1, idle_s=0, total_s=9)},
            id="timeouts are merged",
        ),
        pytest.param(
            {"models": ("new", "old", "new")},
            {"models": (ModelFacts(id="new"), ModelFacts(id="old", context_tokens=5))},
            id="known models keep their facts",
        ),
        pytest.param(
            {"display_name": "A", "docs_url": "d", "terms_url": "t", "checked": "2026-11-22", "status": "withdrawn"},
            {"display_name": "A", "docs_url": "d", "terms_url": "t", "checked": "2026-11-22", "status": "withdrawn"},
            id="what people read",
        ),
    ],
)
def test_a_table_overrides_the_facts_of_an_installed_provider_field_by_field(table, changed):
    installed = provider(kind=Quirky, **FULL)
    plugins = standard(acme=Plugin(providers=[installed]), more=Plugin(translators=[translator("anthropic")]))
    registry = build(plugins, settings_of(providers={"acme": ProviderSettings(**table)}))
    found = registry.providers["acme"]
    assert found.facts == msgspec.structs.replace(installed.facts, **changed)
    assert type(found) is Quirky
    assert installed.facts == provider(**FULL).facts
    assert registry.origin_of["provider", "acme"] == "acme"


def test_the_place_of_the_credential_can_be_overridden():
    table = ProviderSettings(credential=ProviderCredentialPlace(header="x-key", prefix=""))
    registry = build(standard(acme=Plugin(providers=[provider()])), settings_of(providers={"acme": table}))
    place = registry.providers["acme"].facts.credential
    assert isinstance(place, CredentialPlace)
    assert (place.header, place.prefix) == ("x-key", "")


class MoreThanFacts(FactsProvider):
    def __init__(self, facts, region):
        super().__init__(facts)


@pytest.mark.parametrize(
    "stubborn",
    [
        pytest.param(SimpleNamespace(facts=provider().facts), id="no FactsProvider"),
        pytest.param(MoreThanFacts(provider().facts, "eu"), id="another constructor"),
    ],
)
def test_a_provider_made_of_more_than_facts_refuses_overrides_and_says_so(stubborn):
    plugins = standard(acme=Plugin(providers=[stubborn]))
    assert build(plugins, settings_of(providers={"acme": ProviderSettings(api_key=Secret("k"))})).providers
    settings = settings_of(providers={"acme": ProviderSettings(tier="free")}, places={"providers.acme": "o.toml:3"})
    assert findings(plugins, settings) == [
        "o.toml:3: providers.acme: cannot be overridden: plugin 'acme' makes it of more than facts"
    ]


@pytest.mark.parametrize(
    ("table", "accounts", "expected"),
    [
        pytest.param({}, (), {"auth": "none", "any_model": True}, id="bare"),
        pytest.param({"api_key": Secret("k")}, (), {"auth": "api-key", "any_model": True}, id="with a key"),
        pytest.param(
            {},
            (AccountSettings(provider="lab", api_key=Secret("k")),),
            {"auth": "api-key", "any_model": True},
            id="with an account",
        ),
        pytest.param(
            {"models": ("m",)}, (), {"auth": "none", "models": (ModelFacts(id="m"),)}, id="a list is all there is"
        ),
        pytest.param(
            {"models": ("m",), "any_model": True, "auth": "api-key"},
            (),
            {"auth": "api-key", "any_model": True, "models": (ModelFacts(id="m"),)},
            id="what is said holds",
        ),
    ],
)
def test_a_table_of_a_new_name_makes_a_provider(table, accounts, expected):
    new = ProviderSettings(dialect="openai-chat", base_url=f"{ROOT}/", **table)
    registry = build(standard(), settings_of(providers={"lab": new}, accounts=accounts))
    assert registry.providers["lab"].facts == provider("lab", **expected).facts
    assert registry.prefixes == {"lab": "lab"}
    assert registry.origin_of["provider", "lab"] == "settings"


@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        pytest.param(
            {"acne": ProviderSettings(tier="free")},
            "providers.acne: is not installed, and a new provider needs dialect and base_url; did you mean 'acme'?",
            id="misspelt",
        ),
        pytest.param(
            {"ac": ProviderSettings(tier="free")},
            "providers.ac: is an alias of another provider; write [providers.acme]",
            id="alias",
        ),
        pytest.param(
            {"acme": ProviderSettings(dialect="opnai-chat")},
            "providers.acme.dialect: no dialect is called 'opnai-chat'; did you mean 'openai-chat'?",
            id="dialect",
        ),
        pytest.param(
            {"lab": ProviderSettings(dialect="x", base_url=ROOT)},
            "providers.lab.dialect: no dialect is called 'x'; known: openai-chat",
            id="dialect of a new one",
        ),
        pytest.param(
            {"acme": ProviderSettings(transport="x")},
            "providers.acme.transport: no transport is called 'x'; known: aiohttp",
            id="transport",
        ),
        pytest.param(
            {"lab": ProviderSettings(dialect="openai-chat", base_url=ROOT, aliases=("ac",))},
            "providers.lab.aliases: 'ac' is a prefix of provider 'acme' already",
            id="alias of another",
        ),
    ],
)
def test_a_table_that_leads_nowhere_is_one_finding(tables, expected):
    settings = settings_of(
        providers=tables,
        accounts=tuple(AccountSettings(provider=name) for name in tables if name != "ac"),
        aliases={"mine": f"{next(iter(tables))}/m"},
    )
    plugins = standard(acme=Plugin(providers=[provider(aliases=("ac",))]))
    assert findings(plugins, settings) == [f"settings: {expected}"]


# --- combos and aliases -----------------------------------------------------------------------------------------------


def combo(*models, **more) -> ComboSettings:
    return ComboSettings(models=models, **more)


def with_acme(settings: Settings):
    models = (ModelFacts(id="vendor/m"), ModelFacts(id="bare"))
    return standard(acme=Plugin(providers=[provider(aliases=("ac",), models=models, any_model=True)])), settings


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        pytest.param("c:fats", "the combo 'c' has no order 'fats'; did you mean 'fast'?", id="no suffix"),
        pytest.param("c:", "the combo 'c' has no order ''; known: cheap, fast", id="an empty one"),
        pytest.param(
            "c:cheap", "'c:cheap' needs the strategy 'cost-optimized', which is not installed", id="no strategy"
        ),
    ],
)
def test_a_combo_in_an_order_there_is_not_is_found(wanted, problem):
    combos = {"c": combo("acme/m"), "d": combo("acme/m", wanted)}
    settings = settings_of(combos=combos, aliases={"x": wanted}, routing=RoutingSettings(last_resort=wanted))
    places = ("combos.d.models[1]", "aliases.x", "routing.last_resort")
    assert findings(*with_acme(settings)) == [f"settings: {place}: {problem}" for place in places]


def test_a_combo_may_be_called_as_another_one_in_an_order():
    settings = settings_of(combos={"c": combo("acme/m"), "c:mine": combo("acme/m"), "d": combo("c:mine", "c:fast")})
    assert "d" in build(*with_acme(settings)).combos


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        pytest.param("qqq", "", id="nothing like it"),
        pytest.param("vendr-m", "; did you mean 'vendor/m'?", id="a model"),
        pytest.param("quick-onse", "; did you mean 'quick-ones'?", id="a combo"),
        pytest.param("favourit", "; did you mean 'favourite'?", id="an alias"),
        pytest.param("acme", "", id="a provider alone"),
        pytest.param("bare:fast", "; did you mean 'bare'?", id="a model in an order, which only combos have"),
    ],
)
@pytest.mark.parametrize("where", ["combo", "alias", "pattern", "last resort"])
def test_a_bare_name_that_nothing_bears_is_found_with_the_closest_one(where, name, hint):
    combos = {"quick-ones": combo("acme/m"), "c": combo("acme/m", *([name] if where == "combo" else []))}
    aliases = {"favourite": "acme/m"} | {"alias": {"mine": name}, "pattern": {"gpt-*": name}}.get(where, {})
    routing = RoutingSettings(last_resort=name if where == "last resort" else None)
    path = {
        "combo": "combos.c.models[1]",
        "alias": "aliases.mine",
        "pattern": 'aliases."gpt-*"',
        "last resort": "routing.last_resort",
    }[where]
    fix = "a model that only a provider's live list has is written 'prefix/model'"
    problem = f"no model, combo or alias is known as {name!r}{hint} ({fix})"
    settings = settings_of(combos=combos, aliases=aliases, routing=routing)
    assert findings(*with_acme(settings)) == [f"settings: {path}: {problem}"]


@pytest.mark.parametrize(
    ("facts", "tables", "expected"),
    [
        pytest.param({"auth": "aouth"}, {}, "providers.acme.auth", id="one that cannot be connected"),
        pytest.param({}, {"lab": ProviderSettings(models=("m",))}, "providers.lab", id="one without an address"),
    ],
)
def test_a_model_of_a_provider_with_a_mistake_is_no_mistake_of_its_own(facts, tables, expected):
    if facts:
        tables = {"acme": ProviderSettings(**facts)}
    plugins = standard(acme=Plugin(providers=[provider(models=(ModelFacts(id="m"),))] if facts else []))
    [found] = findings(plugins, settings_of(combos={"c": combo("m")}, providers=tables))
    assert found.startswith(f"settings: {expected}: ")


def test_each_combo_has_a_strategy_of_its_own_made_from_its_options():
    settings = settings_of(
        combos={"a": combo("acme/m", options={"sticky": 3}, label="The A"), "b": combo("acme/m"), "c": combo("acme/m")}
    )
    combos = build(*with_acme(settings)).combos
    assert combos["a"].strategy.options == Options(sticky=3)
    assert combos["b"].strategy.options == Options()
    assert combos["b"].strategy is not combos["c"].strategy
    assert (combos["a"].label, combos["b"].label) == ("The A", "b")


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        pytest.param(
            {"options": {"stratgey": "picky"}},
            "combos.c.stratgey: no such key, and no option of the strategy 'fill-first'; did you mean 'strategy'?",
            id="misspelt key",
        ),
        pytest.param(
            {"options": {"stikcy": 1}},
            "combos.c.stikcy: no such key, and no option of the strategy 'fill-first'; did you mean 'sticky'?",
            id="misspelt option",
        ),
        pytest.param({"options": {"sticky": "x"}}, "combos.c.sticky: expected `int`, got `str`", id="type"),
        pytest.param(
            {"strategy": "picky"},
            "combos.c: the strategy 'picky' refuses its options: RuntimeError: not today",
            id="refused",
        ),
        pytest.param(
            {"strategy": "piky"}, "combos.c.strategy: no strategy is called 'piky'; did you mean 'picky'?", id="unknown"
        ),
        pytest.param(
            {"strategy": "weighed", "options": {"weights": {"acme/n": 3}}},
            "combos.c.weights.\"acme/n\": is none of the combo's models; did you mean 'acme/m'?",
            id="an option for an entry that is none",
        ),
    ],
)
def test_a_combo_that_cannot_be_made_is_found(table, expected):
    assert findings(*with_acme(settings_of(combos={"c": combo("acme/m", **table)}))) == [f"settings: {expected}"]


def test_each_provider_has_a_strategy_of_its_own_for_its_accounts():
    routing = RoutingSettings(account_strategy="weighed", account_options={"weights": {"acme/work": 3}})
    plugins = standard(two=Plugin(providers=[provider("acme"), provider("other")]))
    found = build(plugins, settings_of(routing=routing)).account_strategies
    assert found.keys() == {"acme", "other"}
    assert found["acme"].options == WeighedOptions(weights={"acme/work": 3.0})
    assert found["acme"] is not found["other"]


def test_without_a_plugin_for_the_default_accounts_go_by_priority():
    assert build({}).account_strategies == {}


@pytest.mark.parametrize(
    ("routing", "expected"),
    [
        pytest.param(
            {"account_strategy": "piky"},
            "routing.account_strategy: no strategy is called 'piky'; did you mean 'picky'?",
            id="unknown",
        ),
        pytest.param(
            {"account_options": {"stikcy": 3}},
            "routing.account_options.stikcy: no such key, and no option of the strategy 'fill-first'; "
            "did you mean 'sticky'?",
            id="misspelt option",
        ),
        pytest.param(
            {"account_options": {"sticky": "x"}},
            "routing.account_options.sticky: expected `int`, got `str`",
            id="type",
        ),
    ],
)
def test_a_strategy_for_accounts_that_cannot_be_made_is_found(routing, expected):
    assert findings(*with_acme(settings_of(routing=RoutingSettings(**routing)))) == [f"settings: {expected}"]


def test_prices_are_found_by_provider_and_model_whatever_prefix_they_have():
    prices = {"ac/vendor/m": PriceSettings(input_usd=3, cached_usd=0), "acme/other": PriceSettings(output_usd=2)}
    assert build(*with_acme(settings_of(prices=prices))).prices == {
        ("acme", "vendor/m"): Price(input_usd=3, cached_usd=0),
        ("acme", "other"): Price(output_usd=2),
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("acne/m", "no provider has the prefix 'acne' of 'acne/m'; did you mean 'acme'?"),
        ("gpt-5", 'is not written as "prefix/model"'),
        ("acme/", 'is not written as "prefix/model"'),
    ],
)
def test_a_price_of_nothing_is_found(name, expected):
    prices = {name: PriceSettings(input_usd=3)}
    [found] = findings(*with_acme(settings_of(prices=prices)))
    assert found.endswith(f": {expected}")
    assert found.startswith("settings: prices.")


@pytest.mark.parametrize(
    "model",
    ["acme/m", "ac/m", "acme/a/b", "vendor/m", "bare", "inner", "fast", "team/fast", "claude-x", "any/thing/at/all"],
)
def test_what_a_combo_may_name(model):
    settings = settings_of(
        combos={"outer": combo(model), "inner": combo("acme/m"), "team/fast": combo("acme/m")},
        aliases={"fast": "ac/m", "claude-*": "acme/m", "any/*": "acme/m"},
    )
    assert build(*with_acme(settings)).combos["outer"].models == (model,)


@pytest.mark.parametrize("where", ["combo", "alias"])
def test_an_unknown_prefix_is_found_with_the_closest_one(where):
    sections = {"combos": {"c": combo("bare", "acne/m")}} if where == "combo" else {"aliases": {"gpt*": "acne/m"}}
    path = "combos.c.models[1]" if where == "combo" else 'aliases."gpt*"'
    assert findings(*with_acme(settings_of(**sections))) == [
        f"settings: {path}: no provider has the prefix 'acne' of 'acne/m'; did you mean 'acme'?"
    ]


class Probing(FactsProvider):
    def probe(self):
        return (object(),)


@pytest.mark.parametrize(
    ("kind", "facts", "is_found"),
    [
        pytest.param(FactsProvider, {"models": (ModelFacts(id="big"),)}, True, id="a list"),
        pytest.param(FactsProvider, {"models": (ModelFacts(id="big"),), "any_model": True}, False, id="and any other"),
        pytest.param(FactsProvider, {}, False, id="no list"),
        pytest.param(Probing, {"models": (ModelFacts(id="big"),)}, False, id="servers say what they have"),
    ],
)
@pytest.mark.parametrize("where", ["combo", "alias", "last resort"])
def test_a_model_that_its_provider_never_has_is_found(kind, facts, is_found, where):
    section, path = {
        "combo": ({"combos": {"c": combo("acme/bgi")}}, "combos.c.models[0]"),
        "alias": ({"aliases": {"a": "acme/bgi"}}, "aliases.a"),
        "last resort": ({"routing": RoutingSettings(last_resort="acme/bgi")}, "routing.last_resort"),
    }[where]
    plugins, settings = standard(acme=Plugin(providers=[provider(kind=kind, **facts)])), settings_of(**section)
    if not is_found:
        build(plugins, settings)
        return
    problem = "provider 'acme' has no model 'bgi'; did you mean 'big'? ([providers.acme] any_model = true has others passed on)"
    assert findings(plugins, settings) == [f"settings: {path}: {problem}"]


@pytest.mark.parametrize(
    ("combos", "aliases", "expected"),
    [
        pytest.param({"a": ["a"]}, {}, ["combos.a.models[0]: leads back to itself: a → a"], id="itself"),
        pytest.param({"a": ["a:fast"]}, {}, ["combos.a.models[0]: leads back to itself: a → a"], id="with a suffix"),
        pytest.param(
            {"a": ["acme/m", "b"], "b": ["a"]},
            {},
            ["combos.b.models[0]: leads back to itself: a → b → a"],
            id="each other, once",
        ),
        pytest.param(
            {"x": ["a"], "a": ["b"], "b": ["a"]},
            {},
            ["combos.b.models[0]: leads back to itself: a → b → a"],
            id="a way into a circle",
        ),
        pytest.param(
            {"a": ["to-a"]}, {"to-a": "a"}, ["combos.a.models[0]: leads back to itself: a → a"], id="through an alias"
        ),
        pytest.param({"a": ["b"], "b": ["c"], "c": ["acme/m"]}, {}, [], id="three deep"),
        pytest.param(
            {"a": ["b"], "b": ["c"], "c": ["acme/m", "d"], "d": ["acme/m"]},
            {},
            ["combos.c.models[1]: combos may be nested 3 deep, and this is deeper: a → b → c → d"],
            id="four deep",
        ),
        pytest.param({}, {"a": "b", "b": "acme/m"}, [], id="an alias of an alias"),
        pytest.param(
            {},
            {"a": "b", "b": "a"},
            ["aliases.a: leads back to itself: a → b → a", "aliases.b: leads back to itself: b → a → b"],
            id="aliases of each other",
        ),
        pytest.param(
            {"a": ["acme/m"]}, {"a": "acme/m"}, ["aliases.a: is never used: a combo has this name"], id="shadow"
        ),
    ],
)
def test_circles_and_towers_are_found(combos, aliases, expected):
    settings = settings_of(combos={name: combo(*models) for name, models in combos.items()}, aliases=aliases)
    if expected:
        assert findings(*with_acme(settings)) == [f"settings: {finding}" for finding in expected]
    else:
        assert build(*with_acme(settings)).combos.keys() == combos.keys()


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        pytest.param(
            {"accounts": (AccountSettings(provider="acme"), AccountSettings(provider="ac"))},
            "accounts[1].provider: no provider is called 'ac'; it is an alias, write 'acme'",
            id="account by alias",
        ),
        pytest.param(
            {"plugin_sections": {"acne": {}}},
            "plugins.acne: no installed plugin is called 'acne'; did you mean 'acme'?",
            id="section of no plugin",
        ),
    ],
)
def test_other_names_that_lead_nowhere_are_found(sections, expected):
    assert findings(*with_acme(settings_of(**sections))) == [f"settings: {expected}"]


# --- safe mode --------------------------------------------------------------------------------------------------------


def test_in_safe_mode_the_rest_is_built_and_what_refers_to_the_missing_is_noted():
    plugins = standard(
        one=Plugin(providers=[provider()]),
        two=Plugin(providers=[provider()]),
        lost=Plugin(providers=[provider("lost", auth="oauth", aliases=("lo",))]),
        mute=Plugin(translators=[translator("mute", framing="none")]),
    )
    settings = settings_of(
        accounts=(AccountSettings(provider="gone"),),
        combos={"c": combo("gone/m", "acme/m", "of-gone"), "d": combo("acme/m", strategy="gone")},
    )
    registry, loaded = _build(plugins, settings, safe_mode=True)
    assert list(registry.providers) == ["acme"]
    assert list(registry.combos) == ["c"]
    assert list(registry.translators) == ["openai-chat"]
    assert loaded.failed.keys() == {"two", "lost", "mute"}
    assert [note.split(": ")[1] for note in loaded.notes] == [
        "combos.d.strategy",
        "accounts[0].provider",
        "combos.c.models[0]",
        "combos.c.models[2]",
    ]


def test_in_safe_mode_mistakes_in_the_settings_are_mistakes_still():
    with pytest.raises(SettingsError):
        build(standard(), settings_of(server=ServerSettings(transport="x")), safe_mode=True)
