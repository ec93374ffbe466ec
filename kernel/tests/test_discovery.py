import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from omniroute import settings
from omniroute.api import FactsProvider, ModelFacts, Probe, ProviderFacts, Translator, UpstreamGarbled, hookimpl
from omniroute.discovery import Discovery
from omniroute.gateway import Gateway
from omniroute.testing import FakeUpstream, Hang, ReceivedRequest, Reply

FACTS = ProviderFacts(
    name="local", dialect="test", base_url="http://127.0.0.1:9/v1", auth="none", headers={"X-Theirs": "provider"}
)


class Names(msgspec.Struct):
    models: list[str]
    next: str | None = None


class Dialect(Translator):
    dialect = "test"
    framing = "sse"
    ingress = ()
    models_query = MappingProxyType({"most": "9"})

    def default_headers(self):
        return {"x-dialect-version": "1", "x-theirs": "dialect"}

    def decode_models(self, body):
        if body == b"bug":
            raise ZeroDivisionError
        try:
            return [ModelFacts(id=name) for name in msgspec.json.decode(body, type=Names).models]
        except msgspec.MsgspecError as error:
            raise UpstreamGarbled("no model list") from error

    def next_models_page(self, body):
        after = msgspec.json.decode(body, type=Names).next
        return {"after": after} if after else None


class Local(FactsProvider):
    def __init__(self, probes: list[Probe]) -> None:
        super().__init__(FACTS)
        self.probes = probes

    def probe(self):
        return tuple(self.probes)


class Plugin:
    def __init__(self, probes: list[Probe]) -> None:
        self.probes = probes

    @hookimpl
    def register_translators(self):
        return [Dialect()]

    @hookimpl
    def register_providers(self):
        return [Local(self.probes)]


def at(name: str, upstream: FakeUpstream) -> Probe:
    return Probe(name=name, url=f"{upstream.origin}/version", base_url=upstream.base_url, display_name=name.title())


@asynccontextmanager
async def opened(tmp_path: Path, *probes: Probe) -> AsyncIterator[tuple[Gateway, Discovery]]:
    loaded = settings.load(
        data_dir=tmp_path / "data", environ={}, cwd=tmp_path, config_dir=tmp_path, overrides={"plugins.only": []}
    )
    gateway = await Gateway.open(loaded, given={"local": Plugin(list(probes))}, serving=False)
    try:
        yield gateway, Discovery(gateway.registry, gateway.accounts, gateway.control)
    finally:
        await gateway.close()


def serving(*models: str):
    """A server that answers its probe and lists `models`."""

    def answer(request: ReceivedRequest) -> Reply:
        return Reply(body=b"1.0") if request.path == "/version" else Reply.json({"models": list(models)})

    return answer


async def test_a_server_that_answers_becomes_an_account_with_its_models(tmp_path):
    async with (
        FakeUpstream(answer=serving("qwen", "llama")) as upstream,
        opened(tmp_path, at("one", upstream)) as (gateway, discovery),
    ):
        [found] = await discovery.look()
        [account] = gateway.accounts.all()
        assert [(request.method, request.path, request.body) for request in upstream.requests] == [
            ("GET", "/version", b""),
            ("GET", "/v1/models", b""),
        ]
        assert (account.id, account.origin, account.base_url) == ("local/one", "discovered", upstream.base_url)
        assert found.models == ("qwen", "llama")
        assert [model.id for model in gateway.router.listed()] == ["local/qwen", "local/llama"]


def paged(last: int):
    """Page n brings model n and one of the page before; `last` ends the list."""

    def answer(request: ReceivedRequest) -> Reply:
        if request.path == "/version":
            return Reply(body=b"1.0")
        number = int(parse_qs(urlsplit(request.target).query).get("after", ["1"])[0])
        following = {"next": str(number + 1)} if number != last else {}
        return Reply.json({"models": [f"m{number}", f"m{number - 1}"][: min(number, 2)], **following})

    return answer


@pytest.mark.parametrize(
    ("last", "pages"),
    [
        pytest.param(3, 3, id="to its end"),
        pytest.param(-1, 20, id="no further than twenty"),
    ],
)
async def test_a_model_list_is_read_page_by_page(tmp_path, last, pages):
    async with FakeUpstream(answer=paged(last)) as upstream, opened(tmp_path, at("one", upstream)) as (_, discovery):
        [found] = await discovery.look()
        assert found.models == tuple(f"m{number}" for number in range(1, pages + 1))
        targets = [request.target for request in upstream.requests[1:]]
        assert targets[:2] == ["/v1/models?most=9", "/v1/models?most=9&after=2"]
        assert len(targets) == pages


@pytest.mark.parametrize(
    "reply", [pytest.param(Reply(status=404), id="another server"), pytest.param(Hang(), id="one that says nothing")]
)
async def test_what_does_not_answer_the_probe_is_not_there(tmp_path, reply):
    async with FakeUpstream(reply) as upstream, opened(tmp_path, at("one", upstream)) as (gateway, discovery):
        [found] = await discovery.look()
        assert not found.answers
        assert gateway.accounts.all() == ()
        assert len(upstream.requests) == 1


async def test_a_closed_port_is_not_there(tmp_path):
    async with FakeUpstream() as upstream:
        probe = at("one", upstream)
    async with opened(tmp_path, probe) as (_, discovery):
        [found] = await discovery.look()
        assert not found.answers


async def test_a_silent_server_holds_up_nobody(tmp_path):
    async with (
        FakeUpstream(answer=Hang()) as silent,
        FakeUpstream(answer=serving("qwen")) as good,
        opened(tmp_path, at("a", silent), at("b", silent), at("c", good)) as (_, discovery),
    ):
        found = await discovery.look()
        assert [one.answers for one in found] == [False, False, True]
        sent = [request.at_s for request in (*silent.requests, *good.requests) if request.path == "/version"]
        assert max(sent) - min(sent) < 0.2  # all were asked before the first one's time was over


@pytest.mark.parametrize("listing", [Reply(status=500), Reply(body=b"<html>"), Reply(body=b"bug")])
async def test_a_server_without_a_readable_list_is_there_all_the_same(tmp_path, listing):
    async with (
        FakeUpstream(Reply(body=b"1.0"), listing) as upstream,
        opened(tmp_path, at("one", upstream)) as (gateway, discovery),
    ):
        [found] = await discovery.look()
        assert (found.answers, found.models) == (True, ())
        assert [account.models for account in gateway.accounts.all()] == [None]


@pytest.mark.parametrize("field", ["url", "base_url"])
async def test_nothing_beyond_this_machine_is_ever_asked(tmp_path, field):
    async with FakeUpstream(answer=serving("qwen")) as upstream:
        probe = msgspec.structs.replace(at("one", upstream), **{field: "http://192.0.2.1:1/v1"})
        async with opened(tmp_path, probe) as (gateway, discovery):
            assert await discovery.look() == ()
            assert gateway.accounts.all() == ()
        assert upstream.requests == []


async def test_a_server_that_starts_later_is_found_and_one_that_stops_is_forgotten(tmp_path):
    there = False

    def answer(request: ReceivedRequest) -> Reply:
        return serving("qwen")(request) if there else Reply(status=503)

    async with (
        FakeUpstream(answer=answer) as upstream,
        opened(tmp_path, at("one", upstream)) as (gateway, discovery),
    ):
        changed = asyncio.Event()
        gateway.accounts.on_change = changed.set
        await discovery.look()
        assert gateway.accounts.all() == ()
        looking = asyncio.create_task(discovery.keep_looking(pause_s=0))
        for expected in (["local/one"], []):
            there = not there
            while [account.id for account in gateway.accounts.all()] != expected:
                changed.clear()
                await asyncio.wait_for(changed.wait(), 10)
        looking.cancel()
        await asyncio.wait({looking})


async def test_a_server_that_somebody_named_is_asked_for_its_models_too(tmp_path):
    async with FakeUpstream() as nothing:
        probe = at("one", nothing)
    async with (
        FakeUpstream(answer=serving("qwen")) as named,
        opened(tmp_path, probe) as (gateway, discovery),
    ):
        await gateway.accounts.add("local", "lab", None, base_url=named.base_url)
        await discovery.look()
        assert [model.id for model in gateway.router.listed()] == ["local/qwen"]
        assert [request.path for request in named.requests] == ["/v1/models"]


async def test_a_model_list_is_asked_for_with_what_the_dialect_requires_beneath_the_providers_own(tmp_path):
    async with (
        FakeUpstream(answer=serving("qwen")) as upstream,
        opened(tmp_path, at("one", upstream)) as (_, discovery),
    ):
        await discovery.look()
        listing = upstream.requests[-1]
        assert (listing.header("x-dialect-version"), listing.header("x-theirs")) == ("1", "provider")


async def test_without_anything_to_look_for_nobody_keeps_looking(tmp_path):
    async with opened(tmp_path) as (_, discovery):
        assert await discovery.look() == ()
        await asyncio.wait_for(discovery.keep_looking(), 1)
