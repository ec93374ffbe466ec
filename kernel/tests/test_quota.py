"""What is known of quotas: the last word on each window, whom it leaves out, and who is asked for it when."""

import asyncio

import msgspec
import pytest

from omniroute.asking import Asking
from omniroute.contracts import (
    Account,
    Credential,
    HttpRequest,
    HttpResponse,
    ModelFacts,
    ProviderFacts,
    QuotaWindow,
    Target,
)
from omniroute.cooling import Cooling
from omniroute.errors import QuotaExhausted, UpstreamUnreachable
from omniroute.provider import FactsProvider
from omniroute.quota import QuotaReader, Quotas, spent
from omniroute.screening import Needs
from omniroute.secret import Secret

NOW_S = 1_800_000_000.0
WEEK = QuotaWindow(name="weekly", period="weekly", share_left=0.6, resets_at_s=NOW_S + 86_400)
FIVE_HOURS = QuotaWindow(name="5h", period="5h", share_left=0.4, resets_at_s=NOW_S + 600)


class Plan(FactsProvider):
    """Tells in JSON, and in one header."""

    def quota(self, account):
        if account.credential is None:
            return None
        return HttpRequest(method="GET", url=f"{account.base_url}/usage", headers={"x-key": account.name})

    def read_quota(self, response):
        return msgspec.json.decode(response.body, type=tuple[QuotaWindow, ...])

    def read_rate_headers(self, headers):
        left = headers.get("x-left")
        return () if left is None else (msgspec.structs.replace(FIVE_HOURS, share_left=float(left)),)


FACTS = ProviderFacts(name="plan", dialect="d", base_url="https://plan.example/v1")
PROVIDERS = {
    "plan": Plan(FACTS),
    "silent": FactsProvider(msgspec.structs.replace(FACTS, name="silent")),
}
A, B = (
    Account(provider="plan", name=name, base_url=FACTS.base_url, credential=Credential(access=Secret(f"key-{name}")))
    for name in "ab"
)
TARGET = Target(provider="plan", model="m", account="a")


class Clock:
    def __init__(self):
        self.now_s = NOW_S

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def quotas(clock):
    return Quotas(PROVIDERS, clock=clock, monotonic=lambda: clock.now_s - NOW_S)


# --- readings ---------------------------------------------------------------------------------------------------------


def test_the_tightest_window_counts_with_its_reset_on_the_monotonic_clock(quotas):
    quotas.answered(A, [WEEK, FIVE_HOURS])
    assert quotas.of_target(TARGET) == (0.4, 600)
    assert quotas.of_target(msgspec.structs.replace(TARGET, account="b")) is None


def test_a_window_of_a_bucket_counts_for_its_models_only(quotas):
    quotas.answered(A, [WEEK, QuotaWindow(name="weekly m", bucket="m", share_left=0.1)])
    assert quotas.of_target(TARGET) == (0.1, None)
    assert quotas.of_target(msgspec.structs.replace(TARGET, model="other")) == (0.6, 86_400)


def test_a_provider_has_what_its_best_account_has(quotas):
    quotas.answered(A, [FIVE_HOURS])
    quotas.answered(B, [WEEK])
    assert quotas.of_target(Target(provider="plan", model="m")) == (0.6, 86_400)


def test_a_window_whose_reset_has_passed_is_full(quotas, clock):
    quotas.answered(A, [WEEK, FIVE_HOURS])
    clock.now_s += 601
    assert quotas.of_target(TARGET) == (0.6, 86_400)


def test_an_old_word_is_not_acted_upon(quotas, clock):
    quotas.answered(A, [WEEK])
    clock.now_s += 3601
    assert quotas.of_target(TARGET) is None
    assert [each.window for each in quotas.reading(A).windows] == [WEEK]


def test_headers_change_one_window_and_the_usage_endpoint_all(quotas):
    quotas.answered(A, [WEEK, FIVE_HOURS])
    quotas.heard(TARGET, {"x-left": "0.1"})
    assert quotas.of_target(TARGET) == (0.1, 600)
    assert len(quotas.reading(A).windows) == 2
    quotas.answered(A, [WEEK])
    assert [each.window for each in quotas.reading(A).windows] == [WEEK]


def test_headers_are_looked_at_only_where_they_tell_something(quotas):
    class Untouchable(dict):
        def get(self, *_):
            raise AssertionError("looked at")

    quotas.heard(Target(provider="silent", model="m", account="a"), Untouchable())
    with pytest.raises(AssertionError):
        quotas.heard(TARGET, Untouchable())


def test_others_are_told_of_changes_worth_telling(clock):
    told = []
    quotas = Quotas(PROVIDERS, on_change=lambda *of: told.append(of), clock=clock)
    for left in ("0.5", "0.499", "0.498", "0.49", "0.003", "0.0"):
        quotas.heard(TARGET, {"x-left": left})
    assert told == [("plan", "a")] * 4


def test_a_forecast_begins_anew_when_the_window_is_full_again(quotas, clock):
    for left in ("0.9", "0.8", "0.7", "0.6"):
        quotas.heard(TARGET, {"x-left": left})
        clock.now_s += 300
    [reading] = quotas.reading(A).windows
    assert reading.forecast.burn_per_hour == pytest.approx(1.2)
    quotas.heard(TARGET, {"x-left": "1.0"})
    [reading] = quotas.reading(A).windows
    assert reading.forecast is None


def test_an_account_that_is_gone_is_forgotten(quotas):
    quotas.answered(A, [WEEK])
    quotas.answered(B, [WEEK])
    quotas.keep([B])
    assert (quotas.reading(A).windows, len(quotas.reading(B).windows)) == ((), 1)


# --- whom it leaves out -----------------------------------------------------------------------------------------------


class Candidate(msgspec.Struct):
    target: Target = TARGET
    provider: object = PROVIDERS["plan"]
    model: ModelFacts = ModelFacts(id="m")


@pytest.mark.parametrize(
    ("left", "is_out", "may_insist"),
    [(None, False, None), (0.5, False, None), (0.06, False, None), (0.05, True, True), (0.0, True, False)],
)
def test_an_account_at_the_threshold_is_left_out_until_its_quota_is_full(quotas, left, is_out, may_insist):
    if left is not None:
        quotas.answered(A, [msgspec.structs.replace(FIVE_HOURS, share_left=left)])
    skip = spent(quotas, 0.05, monotonic=lambda: 0.0)(Candidate(), Needs())
    assert (skip is not None) is is_out
    if skip is not None:
        assert (skip.reason, skip.due_s, skip.hold.may_insist) == ("quota_exhausted", 600, may_insist)


def test_counting_tokens_costs_no_quota(quotas):
    quotas.answered(A, [msgspec.structs.replace(FIVE_HOURS, share_left=0)])
    assert spent(quotas, 0.05)(Candidate(), Needs(cools=False)) is None


# --- who is asked, and when -------------------------------------------------------------------------------------------


class Upstream:
    def __init__(self, *, status=200, body=None, error=None):
        self.status, self.error = status, error
        self.body = msgspec.json.encode([WEEK]) if body is None else body
        self.asked = []
        self.at_once = self.most_at_once = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, request, *, timeout_s):
        self.asked.append(request.headers["x-key"])
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self.gate.wait()
        self.at_once -= 1
        if self.error is not None:
            raise self.error
        return HttpResponse(status=self.status, body=self.body)


def reader(quotas, clock, upstream, accounts=(A, B), cooling=None, **options):
    options = {"interval_s": 300, "skip_at": 0.02, **options}
    return QuotaReader(quotas, PROVIDERS, lambda: accounts, Asking(upstream), cooling, clock=clock, **options)


async def test_an_account_is_asked_no_more_often_than_the_interval(quotas, clock):
    upstream = Upstream()
    asking = reader(quotas, clock, upstream)
    await asking.read()
    await asking.read()
    assert upstream.asked == ["a", "b"]
    clock.now_s += 300
    await asking.read()
    assert upstream.asked == ["a", "b", "a", "b"]
    assert quotas.of_target(TARGET) == (0.6, 86_400)


async def test_who_does_not_answer_is_asked_more_and_more_seldom(quotas, clock):
    upstream = Upstream(error=UpstreamUnreachable("gone"))
    asking = reader(quotas, clock, upstream, accounts=(A,))
    for _ in range(10):
        await asking.read()
        clock.now_s += 300
    assert len(upstream.asked) == 3  # after 0, 10 and 30 minutes
    assert quotas.reading(A).error == "gone"


@pytest.mark.parametrize(
    ("upstream", "error"),
    [
        pytest.param(Upstream(status=403, body=b"{}"), "the upstream answered 403", id="a refusal"),
        pytest.param(Upstream(status=204), "the upstream answered 204", id="nothing"),
        pytest.param(Upstream(body=b"<html>"), "its plugin failed", id="a plugin that breaks"),
    ],
)
async def test_an_answer_that_is_none_is_told_and_spoils_nothing(quotas, clock, upstream, error):
    quotas.answered(A, [WEEK])
    clock.now_s += 300
    await reader(quotas, clock, upstream, accounts=(A,)).read()
    reading = quotas.reading(A)
    assert (reading.error, [each.window for each in reading.windows]) == (error, [WEEK])


async def test_no_more_than_eight_are_asked_at_once(quotas, clock):
    upstream = Upstream()
    upstream.gate.clear()
    many = [msgspec.structs.replace(A, name=str(number)) for number in range(30)]
    work = asyncio.create_task(reader(quotas, clock, upstream, accounts=many).read())
    while len(upstream.asked) < 8:
        await asyncio.sleep(0)
    upstream.gate.set()
    await work
    assert (upstream.most_at_once, len(upstream.asked)) == (8, 30)


async def test_who_has_nothing_to_ask_is_not_asked(quotas, clock):
    upstream = Upstream()
    bare = msgspec.structs.replace(A, credential=None)
    silent = msgspec.structs.replace(A, provider="silent")
    await reader(quotas, clock, upstream, accounts=(bare, silent)).read()
    assert upstream.asked == []


async def test_an_interval_of_0_asks_nobody(quotas, clock):
    upstream = Upstream()
    await reader(quotas, clock, upstream, interval_s=0).keep_reading()
    assert upstream.asked == []


@pytest.mark.parametrize(("left", "is_cooling"), [(0.5, False), (0.01, True)])
async def test_p24_a_reading_that_shows_capacity_ends_the_cooldown(quotas, clock, left, is_cooling):
    cooling = Cooling(cap_s=3600, clock=lambda: 0.0)
    cooling.failed(cooling.enter(TARGET, "m"), QuotaExhausted("used up"))
    upstream = Upstream(body=msgspec.json.encode([msgspec.structs.replace(WEEK, share_left=left)]))
    await reader(quotas, clock, upstream, accounts=(A,), cooling=cooling).read()
    assert (cooling.hold(TARGET, "m") is not None) is is_cooling


# --- with tokens ------------------------------------------------------------------------------------------------------


class Tokens:
    def __init__(self, new):
        self.new = new

    async def current(self, account):
        return account

    async def renewed(self, account):
        return self.new


@pytest.mark.parametrize(("new", "asked", "status"), [(B, ["a", "b"], 401), (None, ["a"], 401)])
async def test_a_refused_token_is_renewed_once(new, asked, status):
    upstream = Upstream(status=401)
    response = await Asking(upstream, Tokens(new)).ask(A, PROVIDERS["plan"].quota, timeout_s=1)
    assert (upstream.asked, response.status) == (asked, status)


async def test_the_accounts_own_proxy_is_gone_through():
    sent = []

    async def send(request, *, timeout_s):
        sent.append((request.proxy, timeout_s))
        return HttpResponse(status=200)

    account = msgspec.structs.replace(A, proxy=Secret("http://proxy.example:3128"))
    await Asking(send).ask(account, PROVIDERS["plan"].quota, timeout_s=2.5)
    assert sent == [("http://proxy.example:3128", 2.5)]
