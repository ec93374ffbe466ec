from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from omniroute.contracts import HttpRequest
from omniroute.control import ControlClient
from omniroute.errors import UpstreamGarbled, UpstreamTimeout, UpstreamUnreachable
from omniroute.testing import FakeUpstream, Hang, Reply


@asynccontextmanager
async def control(**options: float) -> AsyncIterator[ControlClient]:
    client = ControlClient(**options)
    try:
        yield client
    finally:
        await client.close()


def get(url: str) -> HttpRequest:
    return HttpRequest(method="GET", url=url, headers={"authorization": "Bearer test-key-1"})


async def test_a_redirect_is_an_answer_and_takes_the_credential_nowhere():
    async with FakeUpstream(answer=Reply()) as elsewhere:
        move = Reply(status=307, headers={"location": f"{elsewhere.origin}/x"})
        async with FakeUpstream(move) as upstream, control() as client:
            response = await client.send(get(f"{upstream.base_url}/models"))
        assert elsewhere.requests == []
    assert response.status == 307


async def test_cookies_of_one_answer_are_not_sent_with_the_next_request():
    async with FakeUpstream(answer=Reply(headers={"set-cookie": "session=1; Path=/"})) as upstream, control() as client:
        await client.send(get(upstream.base_url))
        await client.send(get(upstream.base_url))
    assert len(upstream.requests) == 2
    assert upstream.requests[1].header("cookie") is None


async def test_an_answer_beyond_the_cap_is_refused():
    async with FakeUpstream(Reply(body=b"x" * 1001)) as upstream, control(max_answer_bytes=1000) as client:
        with pytest.raises(UpstreamGarbled, match="1000"):
            await client.send(get(upstream.base_url))


async def test_an_answer_up_to_the_cap_is_read_whole_whatever_its_status():
    async with FakeUpstream(Reply(status=404, body=b"x" * 1000)) as upstream, control(max_answer_bytes=1000) as client:
        response = await client.send(get(upstream.base_url))
    assert (response.status, len(response.body), response.headers["content-length"]) == (404, 1000, "1000")


async def test_silence_ends_at_the_deadline_of_the_call():
    async with FakeUpstream(Hang()) as upstream, control() as client:
        with pytest.raises(UpstreamTimeout, match=r"0\.05 s"):
            await client.send(get(upstream.base_url), timeout_s=0.05)


async def test_a_closed_port_is_named_by_host_alone():
    async with FakeUpstream() as upstream:
        place = upstream.origin
    async with control() as client:
        with pytest.raises(UpstreamUnreachable) as caught:
            await client.send(get(f"{place}/models?key=test-key-1"))
    assert place.removeprefix("http://") in caught.value.text
    assert "test-key-1" not in caught.value.text


async def test_a_proxy_of_the_environment_is_not_used_for_this_machine(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    async with FakeUpstream(Reply()) as upstream, control() as client:
        assert (await client.send(get(upstream.base_url))).status == 200


async def test_a_url_that_is_none_is_unreachable():
    async with control() as client:
        with pytest.raises(UpstreamUnreachable):
            await client.send(get("http://[::1"))
