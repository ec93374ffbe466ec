"""The shared checks let good objects pass and name what is wrong with bad ones."""

import itertools
import re
import threading

import msgspec
import pytest

from omniroute.api import (
    CredentialPlace,
    ExchangeFacts,
    FactsProvider,
    HttpRequest,
    HttpResponse,
    MetadataDelta,
    ModelFacts,
    ModelListing,
    OAuthFacts,
    PartEnd,
    PartStart,
    Ping,
    Price,
    Probe,
    ProviderFacts,
    ReasoningDelta,
    ReasoningPart,
    ResponseEnd,
    ResponseStart,
    Sampling,
    Secret,
    TextDelta,
    TextPart,
    TimeoutFacts,
    ToolArgumentsDelta,
    ToolCallPart,
    Usage,
    UsageUpdate,
    UserinfoFacts,
)
from omniroute.testing import check_events, check_provider, check_strategy

# --- events -----------------------------------------------------------------------------------------------------------

START = ResponseStart(id="r", model="m")
TEXT = PartStart(index=0, part=TextPart(text=""))
WORD = TextDelta(index=0, text="hi")
STOP = ResponseEnd(finish_reason="stop")


def part(index, kind=TextPart):
    return PartStart(index=index, part=kind(text=""))


def call(index=0, call_id="c", name="look"):
    return PartStart(index=index, part=ToolCallPart(id=call_id, name=name, arguments=""))


def end(index=0):
    return PartEnd(index=index)


def finish(reason):
    return ResponseEnd(finish_reason=reason)


@pytest.mark.parametrize(
    "events",
    [
        pytest.param([START, STOP], id="nothing said"),
        pytest.param([START, TEXT, WORD, WORD, end(), STOP], id="text"),
        pytest.param([Ping(), START, Ping(), TEXT, Ping(), end(), Ping(), STOP], id="pings"),
        pytest.param([START, UsageUpdate(usage=Usage()), TEXT, end(), UsageUpdate(usage=Usage()), STOP], id="usage"),
        pytest.param(
            [
                START,
                part(0, ReasoningPart),
                ReasoningDelta(index=0, text="hm"),
                MetadataDelta(index=0, provider_metadata={}),
                end(),
                part(1),
                end(1),
                STOP,
            ],
            id="reasoning",
        ),
        pytest.param(
            [
                START,
                call(0, "a"),
                call(1, "b"),
                ToolArgumentsDelta(index=1, text="{}"),
                ToolArgumentsDelta(index=0, text="{}"),
                end(1),
                end(0),
                finish("tool_calls"),
            ],
            id="calls side by side",
        ),
        pytest.param([START, call(), end(), finish("length")], id="a call cut off"),
    ],
)
def test_a_proper_stream_passes(events):
    check_events(iter(events))


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ([], "no ResponseStart: there are no events"),
        ([Ping()], "no ResponseStart"),
        ([TEXT], "event 0, PartStart: before ResponseStart"),
        ([START, START], "event 1, ResponseStart: the second one"),
        ([START], "no ResponseEnd"),
        ([START, STOP, Ping()], "event 2, Ping: after ResponseEnd"),
        ([START, STOP, STOP], "event 2, ResponseEnd: after ResponseEnd"),
        ([START, part(1)], "index 1, but the next part is 0"),
        ([START, TEXT, end(), TEXT], "index 0, but the next part is 1"),
        ([START, WORD], "event 1, TextDelta: part 0 has not started"),
        ([START, TEXT, end(), WORD], "event 3, TextDelta: part 0 has ended"),
        ([START, TEXT, end(), end()], "event 3, PartEnd: part 0 has ended"),
        ([START, MetadataDelta(index=0, provider_metadata={})], "part 0 has not started"),
        ([START, TEXT, ReasoningDelta(index=0, text="x")], "part 0, which is a TextPart, not a ReasoningPart"),
        ([START, call(), WORD], "which is a ToolCallPart, not a TextPart"),
        ([START, TEXT, ToolArgumentsDelta(index=0, text="x")], "which is a TextPart, not a ToolCallPart"),
        ([START, TEXT, STOP], "event 2, ResponseEnd: part 0 is still open"),
        ([START, call(call_id="")], "without an id"),
        ([START, call(name="")], "without a name"),
        ([START, call(0), end(0), call(1)], "a second tool call with the id 'c'"),
        ([START, TEXT, end(), finish("tool_calls")], "but there is no tool call"),
        ([START, call(), end(), STOP], "but there are tool calls"),
        ([START, "text"], "event 1, str: no event"),
    ],
)
def test_an_improper_stream_is_told_where_it_goes_wrong(events, told):
    with pytest.raises(AssertionError, match=re.escape(told)):
        check_events(events)


# --- strategies -------------------------------------------------------------------------------------------------------


class Options(msgspec.Struct, forbid_unknown_fields=True):
    stride: int = 1


class Turning:
    name = "turning"
    options_type = Options

    def __init__(self, options):
        self.options = options
        self.turn = 0

    def order(self, targets, context):
        first = self.turn % len(targets)
        self.turn += self.options.stride
        return [*targets[first:], *targets[:first]]

    def observe(self, outcome):
        pass


class Loose(msgspec.Struct):
    pass


class Demanding(msgspec.Struct, forbid_unknown_fields=True):
    stride: int


class Sorting(Turning):
    def order(self, targets, context):
        targets.sort(key=lambda target: target.model, reverse=True)
        return targets


DICE = itertools.count()


class Locked(Turning):
    def __init__(self, options):
        super().__init__(options)
        self.lock = threading.Lock()


class Shared(Turning):
    """Counts turns where its copies do: each two instances agree, for each begins with a new list."""

    def __init__(self, options):
        super().__init__(options)
        self.turns = Turns()

    def order(self, targets, context):
        self.turns.append(1)
        first = len(self.turns) % len(targets)
        return [*targets[first:], *targets[:first]]


class Turns(list):
    def __deepcopy__(self, memo):
        return self


def strategy(**members):
    return type("Bad", (Turning,), members)


def test_a_proper_strategy_passes():
    check_strategy(Turning)
    check_strategy(strategy(options_type=Demanding), Demanding(stride=2))


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (strategy(name="Round Robin"), "'Round Robin': lower-case words"),
        (strategy(options_type=Loose), "Loose: set forbid_unknown_fields=True"),
        (strategy(options_type=dict), "options_type must be a Struct"),
        (strategy(options_type=Demanding), "give each option a default"),
        (strategy(order=lambda self, targets, context: targets[1:]), "order() left out"),
        (strategy(order=lambda self, targets, context: [*targets, targets[0]]), "order() invented or repeated"),
        (Sorting, "order() changed the list it was given"),
        (
            strategy(order=lambda self, targets, context: targets[:: -1 if next(DICE) % 5 == 0 else 1]),
            "two instances with the same options and history order differently",
        ),
        (Locked, "copy.deepcopy cannot copy it"),
        (Shared, "asking a copy.deepcopy of it changes what it answers"),
    ],
)
def test_an_improper_strategy_is_told_what_is_wrong(bad, told):
    with pytest.raises(AssertionError, match=re.escape(told)):
        check_strategy(bad)


# --- providers --------------------------------------------------------------------------------------------------------

FACTS = ProviderFacts(name="acme", dialect="openai-chat", base_url="https://api.acme.example/v1")


def oauth(**changes):
    return OAuthFacts(**{"client_id": "public", "token_url": "https://vendor.example/token", **changes})


def model(**fields):
    return (ModelFacts(**{"id": "m", **fields}),)


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"name": "Acme"}, "'Acme': prefixes are lower case"),
        ({"aliases": ("a/b",)}, "'a/b': prefixes"),
        ({"aliases": ("acme",)}, "alias 'acme' stands there twice"),
        ({"base_url": "api.acme.example/v1"}, "an absolute http(s) URL"),
        ({"base_url": "http://api.acme.example/v1"}, "https beyond this machine"),
        ({"base_url": "https://api.acme.example/v1/"}, "without the trailing slash"),
        ({"base_url": "https://api.acme.example/v1?a=b"}, "a query goes into `query`"),
        ({"base_url": "https://me@api.acme.example/v1"}, "user information"),
        ({"docs_url": "docs.acme.example"}, "docs_url"),
        ({"tier": "subscription"}, "is shown its terms"),
        ({"own_clients": ("acme-cli/", "")}, "an empty prefix would be every client"),
        ({"oauth": oauth(client_secret=Secret("x"))}, "no secret is shipped"),
        ({"oauth": oauth(client_id="")}, "oauth.client_id: empty"),
        ({"oauth": oauth(token_url="http://vendor.example/token")}, "oauth.token_url"),
        ({"oauth": oauth(userinfo=UserinfoFacts(url="vendor.example"))}, "oauth.userinfo.url"),
        ({"oauth": oauth(exchange=ExchangeFacts(url="http://vendor.example"))}, "oauth.exchange.url"),
        ({"oauth": oauth(authorize_url="https://v.example/a", redirect_path="cb")}, "begins with a slash"),
        ({"oauth": oauth(always_paste=True)}, "needs a paste_url"),
        ({"oauth": oauth(base_url="{resource_url}/v1")}, "where a token may go"),
        ({"oauth": oauth(refresh_lead_s=0.0)}, "renewed before it ends"),
        ({"checked": "yesterday"}, "'yesterday': a date"),
        ({"headers": {"Authorization": "Bearer x"}}, "Authorization carries a credential"),
        ({"headers": {"x y": "1"}}, "'x y'"),
        ({"headers": {"x": "a\r\nb: c"}}, "header x: not one printable line"),
        ({"query": "api_key=1"}, "credentials go into headers"),
        ({"models": (*model(), *model())}, "model id 'm' stands there twice"),
        ({"models": model(id=" m")}, "model id ' m'"),
        ({"models": model(context_tokens=0)}, "context_tokens is 0; unknown is None"),
        ({"models": model(context_tokens=5, max_output_tokens=6)}, "more output than fits"),
        ({"models": model(price=Price(input_usd=-1))}, "price.input_usd is -1"),
        ({"models": model(drops=("temprature",))}, "drops of model m: ['temprature']"),
        ({"drops": ("model",)}, "drops of the provider: ['model']"),
        ({"timeouts": TimeoutFacts(connect_s=-1)}, "timeouts.connect_s is -1"),
        ({"credential": CredentialPlace(header="X-Key", prefix="")}, "'X-Key': lower case"),
    ],
)
def test_improper_facts_are_told_what_is_wrong(facts, told):
    with pytest.raises(AssertionError, match=re.escape(told)):
        check_provider(FactsProvider(msgspec.structs.replace(FACTS, **facts)))


class Copies(FactsProvider):
    def adapt(self, request, model):
        return msgspec.structs.replace(request)


class Wobbles(FactsProvider):
    def adapt(self, request, model):
        return msgspec.structs.replace(request, max_output_tokens=(request.max_output_tokens or 0) + 1)


class Denies(FactsProvider):
    def adapts(self, model):
        return False

    def adapt(self, request, model):
        cold = request.sampling == Sampling()
        return request if cold else msgspec.structs.replace(request, sampling=Sampling())


class Forgets(FactsProvider):
    def adapt(self, request, model):
        return request


class InTheUrl(FactsProvider):
    def prepare(self, call):
        request = super().prepare(call)
        return HttpRequest(
            url=f"{request.url}?key={call.account.credential.access.reveal()}", headers=request.headers, body=b""
        )


class InTheBody(FactsProvider):
    def prepare(self, call):
        request = super().prepare(call)
        return msgspec.structs.replace(request, body=call.account.credential.access.reveal().encode())


class Elsewhere(FactsProvider):
    def prepare(self, call):
        return msgspec.structs.replace(super().prepare(call), url="https://other.example/v1/chat/completions")


class Counts(FactsProvider):
    calls = itertools.count()

    def prepare(self, call):
        request = super().prepare(call)
        return msgspec.structs.replace(request, headers={**request.headers, "x-count": str(next(self.calls))})


class Keyless(FactsProvider):
    def credential_headers(self, account, place):
        return {}


class Shouts(FactsProvider):
    def credential_headers(self, account, place):
        return {"Authorization": "Bearer " + account.credential.access.reveal()}


class DropsHeaders(FactsProvider):
    def prepare(self, call):
        return super().prepare(msgspec.structs.replace(call, headers={}))


class LetsOut(FactsProvider):
    def prepare(self, call):
        path = call.operation.path.replace("{model}", call.model)
        return msgspec.structs.replace(
            super().prepare(msgspec.structs.replace(call, model="m")), url=f"{call.account.base_url}/{path}"
        )


class ListsInTheUrl(FactsProvider):
    def list_models(self, account, place):
        url = f"{account.base_url}/models?key={account.credential.access.reveal()}"
        return ModelListing(request=HttpRequest(method="GET", url=url))


class Overlooks(FactsProvider):
    def classify(self, response):
        return None if response.status == 418 else super().classify(response)


class Decodes(FactsProvider):
    def classify(self, response):
        if response.status >= 400:
            msgspec.json.decode(response.body)
        return super().classify(response)


class Complains(FactsProvider):
    def classify(self, response):
        return super().classify(HttpResponse(status=500))


class Waits(FactsProvider):
    def classify(self, response):
        error = super().classify(response)
        if error:
            error.retry_after_s = -1
        return error


class Roams(FactsProvider):
    def probe(self):
        return (Probe(name="p", url="http://10.0.0.1/", base_url="http://10.0.0.1/v1", display_name="P"),)


@pytest.mark.parametrize(
    ("bad", "facts", "told"),
    [
        (Copies, {}, "copied a request it did not change, so it cannot be relayed"),
        (Wobbles, {}, "changes its own result"),
        (Denies, {}, "says it cannot"),
        (Forgets, {"drops": ("seed",)}, "left seed in, which facts drop"),
        (InTheUrl, {}, "prepare() puts the credential into the URL"),
        (InTheBody, {}, "prepare() puts the credential into the body"),
        (Elsewhere, {}, "prepare() goes to 'https://other.example"),
        (Counts, {}, "prepare() gives two answers to one call"),
        (Keyless, {}, "prepare() leaves the credential out"),
        (Shouts, {}, "header name 'Authorization'"),
        (DropsHeaders, {}, "prepare() lost a header"),
        (LetsOut, {}, "lets the model name '../../admin' out of its place"),
        (ListsInTheUrl, {}, "list_models() puts the credential into the URL"),
        (Overlooks, {}, "classify() of 418 with empty is None"),
        (Decodes, {}, "classify() of 400 with empty raises DecodeError"),
        (Complains, {}, "classify() calls 200 a failure"),
        (Waits, {}, "retry_after_s is -1"),
        (Roams, {}, "http://10.0.0.1/ is not on this machine"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_an_improper_provider_is_told_what_is_wrong(bad, facts, told):
    with pytest.raises(AssertionError, match=re.escape(told)):
        check_provider(bad(msgspec.structs.replace(FACTS, **facts)))


def test_a_keyless_provider_with_probes_passes():
    class Here(FactsProvider):
        def probe(self):
            return (Probe(name="p", url="http://[::1]:1/", base_url="http://localhost:1/v1", display_name="P"),)

    check_provider(Here(msgspec.structs.replace(FACTS, auth="none", base_url="http://127.0.0.1:1/v1")))
