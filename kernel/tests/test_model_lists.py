"""Live lists of models: whose, how often, what of the facts stays, and what a list that cannot be had leaves."""

from typing import ClassVar

import msgspec
import pytest

from omniroute.asking import Asking
from omniroute.contracts import Account, Credential, CredentialPlace, HttpResponse, ModelFacts, Price, ProviderFacts
from omniroute.errors import UpstreamGarbled, UpstreamUnreachable
from omniroute.model_lists import ModelLists, joined
from omniroute.provider import FactsProvider
from omniroute.secret import Secret

KNOWN = ModelFacts(
    id="m",
    name="M",
    context_tokens=1000,
    capabilities=("tools",),
    price=Price(input_usd=1),
    dialect="other",
    drops=("seed",),
    refuses_system=True,
)
FACTS = ProviderFacts(name="p", dialect="d", base_url="https://p.example/v1", models=(KNOWN, ModelFacts(id="gone")))
PROVIDERS = {
    "p": FactsProvider(FACTS),
    "listless": FactsProvider(msgspec.structs.replace(FACTS, name="listless", operations=("chat",))),
}
A = Account(provider="p", name="a", base_url=FACTS.base_url, credential=Credential(access=Secret("key-a")))


class Dialect:
    """Pages of one model each, as many as the query says."""

    dialect = "d"
    models_query: ClassVar = {"size": "1"}
    credential = CredentialPlace()

    def default_headers(self):
        return {"x-version": "1"}

    def decode_models(self, body):
        try:
            return [msgspec.convert(entry, ModelFacts) for entry in msgspec.json.decode(body)["data"]]
        except msgspec.MsgspecError as error:
            raise UpstreamGarbled("no list") from error

    def next_models_page(self, body):
        return msgspec.json.decode(body).get("next")


class Table:
    def __init__(self, *accounts, locked=()):
        self.accounts, self.locked, self.changes = accounts, dict.fromkeys(locked, "why"), []

    def all(self):
        return self.accounts

    def set_model_lists(self, lists):
        self.changes.append(lists)


def lists(table, send, **options):
    options = {"interval_s": 3600, "clock": lambda: 0.0, **options}
    return ModelLists(PROVIDERS, {"d": Dialect()}, table, Asking(send), **options)


def answering(*pages, error=None, status=200):
    asked, left = [], list(pages)

    async def send(request, *, timeout_s):
        asked.append(request)
        if error is not None:
            raise error
        page = left.pop(0)
        return HttpResponse(status=status, body=page if isinstance(page, bytes) else msgspec.json.encode(page))

    send.asked = asked
    return send


async def test_a_list_is_read_to_its_end_and_used_at_once_for_all():
    send = answering({"data": [{"id": "m", "context_tokens": 2000}], "next": {"after": "m"}}, {"data": [{"id": "new"}]})
    table = Table(A)
    await lists(table, send).read([A])
    assert [request.url for request in send.asked] == [
        "https://p.example/v1/models?size=1",
        "https://p.example/v1/models?size=1&after=m",
    ]
    assert send.asked[0].headers == {"x-version": "1", "authorization": "Bearer key-a"}
    [change] = table.changes
    assert change == {"p/a": (msgspec.structs.replace(KNOWN, context_tokens=2000), ModelFacts(id="new"))}


async def test_models_that_the_settings_list_stay_and_are_told_of():
    send = answering({"data": [{"id": "m", "context_tokens": 2000}, {"id": "new"}]})
    table = Table(A)
    await lists(table, send, stated={"p"}).read([A])
    assert table.changes == [{"p/a": (msgspec.structs.replace(KNOWN, context_tokens=2000), ModelFacts(id="gone"))}]


@pytest.mark.parametrize(
    "send",
    [
        pytest.param(answering(error=UpstreamUnreachable("gone")), id="nobody there"),
        pytest.param(answering({}, status=401), id="refused"),
        pytest.param(answering(b"<html>"), id="a page"),
        pytest.param(answering({"other": 1}), id="a plugin that breaks"),
    ],
)
async def test_a_list_that_cannot_be_had_leaves_what_was_known(send):
    table = Table(A)
    await lists(table, send).read([A])
    assert table.changes == []


async def test_an_endless_list_ends():
    page = {"data": [{"id": "m"}], "next": {"after": "m"}}
    send = answering(*[page] * 30)
    await lists(Table(A), send).read([A])
    assert len(send.asked) == 20


async def test_each_account_is_asked_once_an_interval():
    now_s, send, rounds = 0.0, answering(*[{"data": [{"id": "m"}]}] * 9), 0
    table = Table(
        A,
        msgspec.structs.replace(A, name="paused", paused=True),
        msgspec.structs.replace(A, name="locked"),
        msgspec.structs.replace(A, name="found", origin="discovered"),
        msgspec.structs.replace(A, provider="listless"),
        msgspec.structs.replace(A, provider="uninstalled"),
        locked=["p/locked"],
    )

    class Enough(Exception):
        pass

    async def sleep(seconds):
        nonlocal now_s, rounds
        now_s, rounds = now_s + seconds, rounds + 1
        if rounds > 121:
            raise Enough

    with pytest.raises(Enough):
        await lists(table, send, clock=lambda: now_s, sleep=sleep).keep_reading()
    assert len(send.asked) == 2  # after 30 s, and an hour later


async def test_an_interval_of_0_asks_nobody():
    send = answering()
    await lists(Table(A), send, interval_s=0).keep_reading()
    assert send.asked == []


@pytest.mark.parametrize(
    ("live", "result"),
    [
        pytest.param(ModelFacts(id="m"), KNOWN, id="nothing but an id"),
        pytest.param(
            ModelFacts(id="m", name="Live", price=Price(input_usd=2)),
            msgspec.structs.replace(KNOWN, name="Live", price=Price(input_usd=2)),
            id="the live word counts",
        ),
    ],
)
def test_what_a_list_does_not_say_the_facts_say(live, result):
    assert joined(live, KNOWN) == result
    assert joined(live, None) is live
