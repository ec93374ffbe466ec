from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from omniroute.api import (
    Account,
    FactsProvider,
    InvalidRequest,
    ListedModel,
    ModelFacts,
    ModelNotFound,
    Price,
    ProviderFacts,
    RouteContext,
    Standing,
    Target,
)
from omniroute.routing import Router, Terms, specificity

CONTEXT = RouteContext(combo="", session=None, now_s=0.0)


class Reverse:
    name = "reverse"
    options_type = None

    def order(self, targets, context):
        return list(reversed(targets))


def provider(name, models=(), **facts):
    models = tuple(ModelFacts(id=model, context_tokens=1000) for model in models)
    return FactsProvider(
        ProviderFacts(name=name, dialect="openai-chat", base_url=f"http://{name}.invalid/v1", models=models, **facts)
    )


def account(provider, name="a", **fields):
    return Account(provider=provider, name=name, base_url="http://x.invalid/v1", **fields)


def combo(name, models, strategy=None):
    return SimpleNamespace(name=name, models=tuple(models), strategy=strategy or Reverse(), loss=None, terms=Terms())


def make(providers, accounts, aliases=None, combos=(), pools=None, prices=None):
    translator, transport = SimpleNamespace(dialect="openai-chat"), SimpleNamespace()
    prefixes = {prefix: p.facts.name for p in providers for prefix in (p.facts.name, *p.facts.aliases)}
    return Router(
        SimpleNamespace(
            providers={p.facts.name: p for p in providers},
            prefixes=prefixes,
            combos={c.name: c for c in combos},
            translators={"openai-chat": translator},
            account_strategies=pools or {},
            origin_of={},
            prices=prices or {},
        ),
        SimpleNamespace(
            of=lambda name: [a for a in accounts if a.provider == name],
            why_none=lambda name: f"provider {name!r} has no account",
        ),
        aliases=aliases or {},
        transports={"t": transport},
        default_transport="t",
    )


CLAUDE = provider("claude", ["opus", "sonnet"], aliases=("cc",))
GLM = provider("glm", ["glm-4", "sonnet"])
ANY = provider("anything", any_model=True)
EMPTY = provider("empty", ["lonely", "glm-4"])
ACCOUNTS = [account("claude", "one"), account("claude", "two"), account("glm"), account("anything")]


@pytest.fixture
def router():
    return make(
        [CLAUDE, GLM, ANY, EMPTY],
        ACCOUNTS,
        aliases={
            "fast": "glm/glm-4",
            "glm/quick": "fast",
            "claude-*": "cc/opus",
            "claude-s*": "cc/sonnet",
            "loop": "loop2",
            "loop2": "loop",
        },
        combos=[
            combo("both", ["cc/opus", "glm/glm-4"]),
            combo("cc/opus", ["glm/glm-4"]),
            combo("outer", ["both", "anything/x", "cc/opus2"]),
            combo("broken", ["empty/lonely", "glm/glm-4"]),
        ],
    )


class Watching(Reverse):
    """Remembers what it was asked, and was told."""

    def __init__(self):
        self.asked = []
        self.told = []

    def order(self, targets, context):
        self.asked.append((context.combo, dict(context.names)))
        return super().order(targets, context)

    def observe(self, outcome):
        self.told.append(outcome)


def targets(router, model):
    return [candidate.target for candidate in router.candidates(router.resolve(model), CONTEXT)]


GLM_TARGET = Target(provider="glm", model="glm-4", account="a")
OPUS = [Target(provider="claude", model="opus", account=name) for name in ("one", "two")]


@pytest.mark.parametrize(
    ("model", "found"),
    [
        pytest.param("claude/opus", OPUS, id="not the combo of almost that name"),
        pytest.param("cc/opus", [GLM_TARGET], id="a combo comes before everything"),
        pytest.param(
            "claude/sonnet",
            [Target(provider="claude", model="sonnet", account=n) for n in ("one", "two")],
            id="provider's name",
        ),
        pytest.param(
            "anything/a/b", [Target(provider="anything", model="a/b", account="a")], id="split at the first slash"
        ),
        pytest.param("fast", [GLM_TARGET], id="alias"),
        pytest.param("glm/quick", [GLM_TARGET], id="an alias with a slash, after the prefix found nothing"),
        pytest.param("claude-9", [GLM_TARGET], id="wildcard"),
        pytest.param(
            "CLAUDE-S4",
            [Target(provider="claude", model="sonnet", account=n) for n in ("one", "two")],
            id="the closer wildcard, in any case",
        ),
        pytest.param("opus", OPUS, id="bare name of one provider"),
        pytest.param("glm-4", [GLM_TARGET], id="bare name of two, one of which has an account"),
        pytest.param("both", [GLM_TARGET], id="a combo's strategy orders, and no target comes twice"),
        pytest.param("outer", [Target(provider="anything", model="x", account="a"), GLM_TARGET], id="nested"),
        pytest.param("broken", [GLM_TARGET], id="an entry that nobody serves is left out"),
    ],
)
def test_a_model_string_finds_its_candidates(router, model, found):
    assert targets(router, model) == found


@pytest.mark.parametrize(
    ("model", "says"),
    [
        pytest.param("claude/opsu", "closest: ", id="close"),
        pytest.param("opsu", "closest: cc/opus", id="close bare name"),
        pytest.param("zzzzzzzz", "models list", id="nothing close"),
        pytest.param("sonnet", "say which: cc/sonnet, glm/sonnet", id="two owners"),
        pytest.param("empty/lonely", "provider 'empty' has no account", id="no account"),
        pytest.param("empty/lonely", "omniroute account add empty", id="no account, with the way out"),
        pytest.param("nobody/opus", "no provider serves 'nobody/opus'", id="unknown prefix"),
        pytest.param("loop", "leads back to itself", id="alias loop"),
        pytest.param("é\u2028", r"'\xe9\u2028'", id="shown escaped"),
        pytest.param("", "no provider serves ''", id="empty"),
    ],
)
def test_an_unknown_model_names_the_way_out(router, model, says):
    with pytest.raises(ModelNotFound) as caught:
        router.resolve(model)
    assert says in caught.value.text


@pytest.mark.parametrize("model", ["a\r\nb", "../x", "a/../b", "/x", "a\x00", "m" * 513])
def test_an_unusable_model_name_is_a_bad_request(router, model):
    with pytest.raises(InvalidRequest):
        router.resolve(model)


def test_a_live_list_decides_what_an_account_serves():
    local = provider("local")
    found = [
        account("local", "ollama", models=(ModelFacts(id="qwen"),)),
        account("local", "vllm", models=(ModelFacts(id="qwen"), ModelFacts(id="llama"))),
    ]
    router = make([local], found)
    assert [t.account for t in targets(router, "local/qwen")] == ["ollama", "vllm"]
    assert [t.account for t in targets(router, "llama")] == ["vllm"]
    assert [listed.id for listed in router.listed()] == ["local/qwen", "local/llama"]
    with pytest.raises(ModelNotFound):
        router.resolve("local/mistral")


def test_new_accounts_are_seen_after_forgetting():
    accounts = []
    router = make([EMPTY], accounts)
    with pytest.raises(ModelNotFound):
        router.resolve("empty/lonely")
    accounts.append(account("empty"))
    router.forget()
    assert targets(router, "empty/lonely") == [Target(provider="empty", model="lonely", account="a")]


# --- choosing ---------------------------------------------------------------------------------------------------------


def test_the_accounts_of_a_provider_are_chosen_among_by_its_own_strategy():
    combos = [combo("both", ["glm/glm-4", "cc/opus"])]
    router = make([CLAUDE, GLM], ACCOUNTS, combos=combos, pools={"claude": Reverse()})
    two_first = [replace(target, account=name) for target, name in zip(OPUS, ("two", "one"), strict=True)]
    assert targets(router, "cc/opus") == two_first
    assert targets(router, "both") == [*two_first, GLM_TARGET]


def test_accounts_and_inner_combos_are_ordered_when_it_is_their_turn():
    pool, inner = Watching(), Watching()
    combos = [combo("outer", ["cc/opus", "inner", "glm/glm-4"]), combo("inner", ["glm/sonnet", "glm/glm-4"], inner)]
    router = make([CLAUDE, GLM], ACCOUNTS, combos=combos, pools={"claude": pool})
    found = router.candidates(router.resolve("outer"), CONTEXT)
    assert next(found).target == GLM_TARGET
    assert (inner.asked, pool.asked) == ([], [])
    assert next(found).target.model == "sonnet"
    assert (len(inner.asked), len(pool.asked)) == (1, 0)
    assert [candidate.account.name for candidate in found] == ["two", "one"]
    assert (len(inner.asked), len(pool.asked)) == (1, 1)


def test_without_a_context_no_strategy_is_asked():
    pool, outer = Watching(), Watching()
    router = make(
        [CLAUDE, GLM], ACCOUNTS, combos=[combo("both", ["cc/opus", "glm/glm-4"], outer)], pools={"claude": pool}
    )
    found = router.candidates(router.resolve("both"), None)
    assert [candidate.target for candidate in found] == [*OPUS, GLM_TARGET]
    assert (outer.asked, pool.asked) == ([], [])


def test_a_strategy_knows_its_combo_and_what_the_list_calls_each_entry():
    outer, inner = Watching(), Watching()
    combos = [combo("outer", ["fast", "cc/opus", "inner"], outer), combo("inner", ["claude/opus"], inner)]
    router = make([CLAUDE, GLM], ACCOUNTS, aliases={"fast": "glm/glm-4"}, combos=combos)
    targets(router, "outer")
    opus, glm = (replace(target, account="") for target in (OPUS[0], GLM_TARGET))
    names = {glm: "fast", opus: "cc/opus", Target(provider="", model="inner"): "inner"}
    assert outer.asked == [("outer", names)]
    assert inner.asked == [("inner", {opus: "claude/opus"})]


def test_an_attempt_counts_for_candidate_model_and_inner_combos_and_is_told_to_the_strategies_on_the_way():
    outer, middle, inner, pool = Watching(), Watching(), Watching(), Watching()
    combos = [
        combo("outer", ["middle", "glm/glm-4"], outer),
        combo("middle", ["inner"], middle),
        combo("inner", ["cc/opus"], inner),
    ]
    router = make([CLAUDE, GLM], ACCOUNTS, combos=combos, pools={"claude": pool})
    route = router.resolve("outer")
    by_target = {candidate.target: candidate for candidate in router.candidates(route, CONTEXT)}
    router.begin(route, by_target[OPUS[0]], 1.0).end(ok=True)
    router.begin(route, by_target[GLM_TARGET], 2.0).end(ok=True)
    view = router.standing.view
    leg = replace(OPUS[0], account="")
    counted = [OPUS[0], leg, Target(provider="", model="inner"), Target(provider="", model="middle")]
    assert [view[target].requests for target in counted] == [1, 1, 1, 1]
    assert view[OPUS[1]].requests == 0
    assert [outcome.target for outcome in outer.told] == [OPUS[0], GLM_TARGET]
    assert [outcome.target for outcome in pool.told] == [OPUS[0]]


def test_what_is_known_of_a_model_is_in_its_standing_and_the_settings_correct_its_price():
    combos = [combo("both", ["cc/opus", "glm/glm-4"])]
    prices = {("claude", "opus"): Price(input_usd=2, output_usd=9), ("anything", "x"): Price(input_usd=1)}
    router = make([CLAUDE, GLM, ANY], ACCOUNTS, combos=combos, prices=prices)
    view = router.standing.view
    assert view[replace(OPUS[0], account="")] == Standing(input_usd=2, output_usd=9, context_tokens=1000)
    assert view[OPUS[1]] == Standing(input_usd=2, output_usd=9, context_tokens=1000)
    assert view[GLM_TARGET] == Standing(context_tokens=1000)
    assert view[Target(provider="anything", model="x", account="a")] == Standing(input_usd=1)
    assert view[Target(provider="", model="both")] == Standing()
    [candidate, *_] = router.candidates(router.resolve("cc/opus"), CONTEXT)
    assert candidate.model.price == Price(input_usd=2, output_usd=9)


def test_a_new_list_of_models_is_seen_in_the_standing_after_forgetting():
    accounts = [account("anything", models=(ModelFacts(id="x"),))]
    router = make([ANY], accounts)
    target = Target(provider="anything", model="x", account="a")
    assert router.standing.view[target].context_tokens is None
    accounts[0] = account("anything", models=(ModelFacts(id="x", context_tokens=8000),))
    router.forget()
    assert router.standing.view[target].context_tokens == 8000


# --- listing ----------------------------------------------------------------------------------------------------------


def test_the_list_shows_what_can_be_called_now(router):
    listed = router.listed()
    assert [entry.id for entry in listed] == [
        "cc/opus",
        "cc/sonnet",
        "glm/glm-4",
        "glm/sonnet",
        "fast",
        "glm/quick",
        "loop",
        "loop2",
        "both",
        "outer",
        "broken",
    ]
    assert listed[1] == ListedModel(id="cc/sonnet", provider="claude", context_tokens=1000)
    assert {entry.id: entry.kind for entry in listed}["cc/opus"] == "combo"


@pytest.mark.parametrize(
    ("pattern", "score"),
    [("claude-*", 8 + 70 - 50), ("claude-?", 8 + 70 - 5), ("*", 1 - 50), ("gpt-4o", 6 + 60), ("*/*", 3 + 10 - 100)],
)
def test_specificity_counts_literals_for_and_wildcards_against(pattern, score):
    assert specificity(pattern) == score
