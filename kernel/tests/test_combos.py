"""What a combo makes of a request before anything is sent: who is left out, what its suffix means, where it ends."""

from types import SimpleNamespace

import pytest

from omniroute.api import (
    Account,
    FactsProvider,
    Headers,
    ModelFacts,
    ModelNotFound,
    Price,
    ProviderFacts,
    RequestHead,
    RouteContext,
    Target,
)
from omniroute.cooling import Hold
from omniroute.errors import ContextTooLong, InvalidRequest
from omniroute.exchange import Exchange
from omniroute.health import Health
from omniroute.model import ChatRequest, ImagePart, Message, TextPart
from omniroute.routing import Router, Terms, lacks, overview_of, terms_of
from omniroute.screening import Needs, Skip, incapable, needs_of
from omniroute.settings import ComboSettings, RoutingSettings, Settings, TimeoutSettings
from omniroute.tries import Tries, verdict

CONTEXT = RouteContext(combo="", session=None, now_s=0.0)
EVERYTHING = ModelFacts(id="all", capabilities=("tools", "vision"), context_tokens=1000, price=Price(input_usd=3))
BLIND = ModelFacts(id="blind", capabilities=("tools",), context_tokens=500, price=Price(input_usd=5, cache_write_usd=2))
HANDLESS = ModelFacts(id="handless", capabilities=("vision",))
THINKER = ModelFacts(id="thinker", capabilities=("reasoning",))
UNKNOWN = ModelFacts(id="unknown")
MODELS = (EVERYTHING, BLIND, HANDLESS, THINKER, UNKNOWN)


class InOrder:
    name = "in-order"
    options_type = None

    def order(self, targets, context):
        return targets

    def observe(self, outcome):
        pass


class ByName(InOrder):
    """Stands for whatever a suffix asks for."""

    class options_type:
        pass

    def __init__(self, options):
        pass

    def order(self, targets, context):
        return sorted(targets, key=lambda target: target.model)


def router(combos, *, strategies=None, last_resort=None, accounts=("p",)):
    facts = ProviderFacts(name="p", dialect="openai-chat", base_url="http://p.invalid/v1", models=MODELS)
    made = {
        name: SimpleNamespace(name=name, models=models, strategy=InOrder(), loss=None, terms=Terms())
        for name, models in combos.items()
    }
    return Router(
        SimpleNamespace(
            providers={"p": FactsProvider(facts), "q": FactsProvider(ProviderFacts(**{**vars_of(facts), "name": "q"}))},
            prefixes={"p": "p", "q": "q"},
            combos=made,
            translators={"openai-chat": SimpleNamespace(dialect="openai-chat")},
            account_strategies={},
            origin_of={},
            prices={},
            strategies=strategies or {},
        ),
        SimpleNamespace(
            of=lambda name: (
                [Account(provider=name, name="a", base_url="http://p.invalid/v1")] if name in accounts else []
            ),
            why_none=lambda name: None,
        ),
        aliases={},
        transports={"t": None},
        default_transport="t",
        last_resort=last_resort,
    )


def vars_of(struct):
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


def candidate(model):
    [found] = router({}).resolve(f"p/{model.id}").overview.by_target.values()
    return found


# --- who is left out --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "needs", "reason"),
    [
        pytest.param(EVERYTHING, {"has_tools": True, "has_images": True}, None, id="able"),
        pytest.param(BLIND, {"has_images": True}, "no_vision", id="blind"),
        pytest.param(HANDLESS, {"has_tools": True}, "no_tools", id="without tools"),
        pytest.param(THINKER, {"has_tools": True, "has_images": True}, None, id="a list about something else"),
        pytest.param(UNKNOWN, {"has_tools": True, "input_tokens_estimate": 10**9}, None, id="unknown"),
        pytest.param(BLIND, {"input_tokens_estimate": 500}, None, id="just room"),
        pytest.param(BLIND, {"input_tokens_estimate": 501}, "window_too_small", id="no room"),
        pytest.param(BLIND, {"input_tokens_estimate": 400, "max_output_tokens": 101}, "window_too_small", id="with the answer"),
        pytest.param(BLIND, {"input_tokens_estimate": 501, "skips_incapable": False}, None, id="switched off"),
        pytest.param(BLIND, {"larger_than": 500, "skips_incapable": False}, "window_too_small", id="too long for its like"),
        pytest.param(EVERYTHING, {"larger_than": 500}, None, id="larger"),
        pytest.param(UNKNOWN, {"larger_than": 500}, "window_too_small", id="not known to be larger"),
        pytest.param(BLIND, {"pinned": ("p", "a"), "skips_incapable": False}, None, id="pinned here"),
        pytest.param(BLIND, {"pinned": ("p", "b"), "skips_incapable": False}, "pinned", id="pinned elsewhere"),
    ],
)  # fmt: skip
def test_only_what_is_known_leaves_somebody_out(model, needs, reason):
    skip = incapable(candidate(model), Needs(**{"skips_incapable": True, **needs}))
    assert (skip and skip.reason) == reason
    assert skip is None or skip.due_s is None


def test_an_overview_says_what_somebody_lacks():
    found = router({"c": ("p/all", "p/blind", "p/unknown")}).resolve("c").overview
    assert [target.model for target in found.by_target] == ["all", "blind", "unknown"]
    assert (found.lacking, found.smallest_window, found.cheapest_rate) == (frozenset({"vision"}), 500, 2)
    assert [lacks(model, "tools") for model in MODELS] == [False, False, True, False, False]
    assert overview_of(router({}).resolve("p/unknown")).smallest_window is None


class Translator:
    image_pattern = rb'"image"'

    def __init__(self, request):
        self.request = request

    def decode_request(self, body, params, headers):
        if self.request is None:
            raise InvalidRequest("no")
        return self.request


def exchange(body, request=None, *, model="c", operation="chat", **head):
    made = Exchange(
        translator=Translator(request), operation=operation, params={}, headers=Headers({}), request_id="r", client=None
    )
    made.body, made.head = body, RequestHead(model=model, **head)
    made.route = router({"c": ("p/all", "p/blind", "p/handless")}).resolve(model)
    return made


def asked(*parts):
    return ChatRequest(model="c", messages=(Message(role="user", parts=parts),))


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        pytest.param(exchange(b"x" * 400), (False, 100, False), id="nothing special"),
        pytest.param(exchange(b"x" * 400, has_tools=True), (False, 100, True), id="tools"),
        pytest.param(exchange(b'{"image"' * 10), (True, 20, True), id="an image"),
        pytest.param(exchange(b'{"image"', model="p/unknown"), (False, 2, False), id="an image, and nobody who is blind"),
        pytest.param(exchange(b"x" * 400, model="p/unknown", has_tools=True), (False, 100, False), id="tools, as before"),
        pytest.param(exchange(b"x" * 2004, asked(TextPart(text="x" * 1000))), (False, 254, True), id="read, as it matters"),
        pytest.param(exchange(b"x" * 90_000, asked(ImagePart(data="A" * 90_000))), (False, 1604, True), id="bytes of an image"),
        pytest.param(exchange(b"x" * 2004, None), (False, 501, True), id="what cannot be read may be relayed"),
        pytest.param(exchange(b"x" * 2004, operation="count_tokens"), (False, 501, False), id="a count needs no window"),
    ],
)  # fmt: skip
def test_what_a_request_needs_is_looked_at_where_it_matters(made, expected):
    needs = needs_of(made)
    assert (needs.has_images, needs.input_tokens_estimate, needs.skips_incapable) == expected


def test_a_request_to_a_combo_that_skips_nobody_is_not_looked_at():
    made = exchange(b'{"image"' * 1000, has_tools=True)
    made.route = SimpleNamespace(terms=Terms(skip_incapable=False))
    assert needs_of(made).skips_incapable is False


# --- the verdict ------------------------------------------------------------------------------------------------------


def tries(*reasons, needs=None):
    made = Tries(
        limit=3,
        left=3,
        started_s=0.0,
        deadline_s=0.0,
        needs=needs or Needs(input_tokens_estimate=900, max_output_tokens=200),
    )
    for reason, model in zip(reasons, (BLIND, EVERYTHING), strict=False):
        made.skip(candidate(model), Skip(reason=reason))
    return made


@pytest.mark.parametrize(
    ("reasons", "kind", "says"),
    [
        (("window_too_small", "window_too_small"), ContextTooLong, "prompt is too long: 1100 tokens > 1000 maximum"),
        (("window_too_small", "no_vision"), InvalidRequest, "no candidate can serve this request"),
        (("pinned",), InvalidRequest, "start a new thread"),
    ],
)
def test_when_all_are_left_out_for_good_the_error_names_why(reasons, kind, says):
    error = verdict(tries(*reasons), Health(cap_s=1))
    assert type(error) is kind
    assert error.status == 400
    assert says in error.text
    assert f"p/blind (a): {reasons[0]}" in error.text


def test_after_too_long_what_is_held_waits_no_longer_unless_it_is_larger():
    made = tries()
    hold = Hold(reason="overloaded", since_s=0.0, due_s=9.0, may_insist=True)
    small, large = candidate(BLIND), candidate(EVERYTHING)
    made.held = [(small, hold), (large, hold)]
    made.too_long(small)
    assert made.held == [(large, hold)]
    assert made.needs.larger_than == 500
    made.too_long(candidate(UNKNOWN))
    assert made.needs.larger_than == 900, "what is not known is as large as what it was asked, at least"


# --- suffixes ---------------------------------------------------------------------------------------------------------

COMBOS = {"c": ("p/unknown", "inner", "p/blind"), "inner": ("p/thinker", "p/all"), "odd:fast": ("p/all",)}
BOTH = {"lowest-latency": ByName, "cost-optimized": ByName}


def order(made, model):
    return [found.target.model for found in made.candidates(made.resolve(model), CONTEXT)]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("c", ["unknown", "thinker", "all", "blind"]),
        ("c:fast", ["blind", "all", "thinker", "unknown"]),
        ("c:cheap", ["blind", "all", "thinker", "unknown"]),
        ("inner:fast", ["all", "thinker"]),
        ("odd:fast", ["all"]),
    ],
)
def test_a_suffix_orders_a_combo_and_those_inside_it(model, expected):
    assert order(router(COMBOS, strategies=BOTH), model) == expected


def test_a_combo_and_suffix_have_one_strategy_for_good():
    made = router(COMBOS, strategies=BOTH)
    first = made.resolve("c:fast").strategy
    made.forget()
    assert made.resolve("c:fast").strategy is first
    assert made.resolve("c:cheap").strategy is not first


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("c:quick", "the combo 'c' has no order 'quick'"),
        ("c:", "the combo 'c' has no order ''"),
        ("c:fast", "needs the strategy 'lowest-latency', which is not installed"),
        ("d:fast", "no provider serves 'd:fast'"),
    ],
)
def test_a_suffix_that_means_nothing_is_not_found(model, says):
    with pytest.raises(ModelNotFound, match=says):
        router(COMBOS).resolve(model)


# --- the last resort, and a combo's own word --------------------------------------------------------------------------


def test_every_route_knows_the_last_resort_once_it_has_an_account():
    made = router({"c": ("p/all",)}, last_resort="q/all")
    assert made.resolve("c").last_resort is None
    made = router({"c": ("p/all",)}, last_resort="q/blind", accounts=("p", "q"))
    route = made.resolve("c")
    [found] = made.candidates(route.last_resort, None)
    assert found.target == Target(provider="q", model="blind", account="a")
    assert list(route.overview.by_target) == [Target(provider="p", model="all", account="a")]
    assert route.overview.smallest_window == 500, "what it cannot do counts too"


def test_a_combo_s_word_goes_before_the_settings():
    settings = Settings(
        routing=RoutingSettings(max_attempts=5, session_affinity=False),
        timeouts=TimeoutSettings(first_content_deadline_s=60, first_byte_s=30),
    )
    assert terms_of(settings) == Terms(max_attempts=5, session_affinity=False, first_content_deadline_s=60)
    combo = ComboSettings(
        models=("m",),
        max_attempts=1,
        first_byte_s=0,
        first_content_deadline_s=0,
        session_affinity=True,
        skip_incapable=False,
    )
    assert terms_of(settings, combo) == Terms(
        max_attempts=1, first_byte_s=0, first_content_deadline_s=0, session_affinity=True, skip_incapable=False
    )
    assert terms_of(settings, ComboSettings(models=("m",))) == terms_of(settings)


def test_a_request_to_a_combo_counts_for_the_combo():
    made = router({"c": ("inner",), "inner": ("p/all",)})
    route = made.resolve("c")
    [found] = made.candidates(route, None)
    running = made.begin(route, found, 1.0)
    running.answered(0.5)
    running.end(ok=True)
    seen = made.standing.seen
    assert [seen[Target(provider="", model=name)].requests for name in ("c", "inner")] == [1, 1]
    assert made.standing.latencies(Target(provider="", model="c")) == (0.5,)
    assert made.standing.latencies(Target(provider="", model="nobody")) == ()
