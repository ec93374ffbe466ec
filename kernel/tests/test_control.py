import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from omniroute.contracts import HttpRequest
from omniroute.control import ControlClient, is_loopback
from omniroute.errors import UpstreamGarbled, UpstreamTimeout, UpstreamUnreachable

Answer = Callable[[int], bytes]


class Seen:
    def __init__(self) -> None:
        self.heads: list[bytes] = []


def answer(status: str, headers: str = "", body: bytes = b"") -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n{headers}\r\n".encode() + body


@asynccontextmanager
async def server(reply: Answer) -> AsyncIterator[tuple[str, Seen]]:
    """A loopback server that answers its n-th request with `reply(n)`; an empty reply keeps the client waiting."""
    seen = Seen()
    tasks: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.current_task())
        try:
            while True:
                seen.heads.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(reply(len(seen.heads)))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = listener.sockets[0].getsockname()
    try:
        yield f"http://{host}:{port}", seen
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await listener.wait_closed()


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
    async with server(lambda _: answer("200 OK")) as (elsewhere, there), control() as client:
        move = answer("307 Temporary Redirect", f"location: {elsewhere}/x\r\n")
        async with server(lambda _: move) as (base, _):
            response = await client.send(get(f"{base}/models"))
    assert response.status == 307
    assert there.heads == []


async def test_cookies_of_one_answer_are_not_sent_with_the_next_request():
    async with server(lambda _: answer("200 OK", "set-cookie: session=1\r\n")) as (base, seen), control() as client:
        await client.send(get(base))
        await client.send(get(base))
    assert len(seen.heads) == 2
    assert b"cookie" not in seen.heads[1].lower()


async def test_an_answer_beyond_the_cap_is_refused():
    async with (
        server(lambda _: answer("200 OK", body=b"x" * 2000)) as (base, _),
        control(max_answer_bytes=1000) as client,
    ):
        with pytest.raises(UpstreamGarbled, match="1000"):
            await client.send(get(base))


async def test_an_answer_up_to_the_cap_is_read_whole():
    async with (
        server(lambda _: answer("404 Not Found", body=b"x" * 1000)) as (base, _),
        control(max_answer_bytes=1000) as client,
    ):
        response = await client.send(get(base))
    assert (response.status, len(response.body), response.headers["content-length"]) == (404, 1000, "1000")


async def test_silence_ends_at_the_deadline_of_the_call():
    async with server(lambda _: b"") as (base, _), control() as client:
        with pytest.raises(UpstreamTimeout, match=r"0\.05 s"):
            await client.send(get(base), timeout_s=0.05)


async def test_a_closed_port_is_named_by_host_alone():
    async with server(lambda _: b"") as (base, _):
        pass
    async with control() as client:
        with pytest.raises(UpstreamUnreachable) as caught:
            await client.send(get(f"{base}/models?key=test-key-1"))
    assert base.removeprefix("http://") in caught.value.text
    assert "test-key-1" not in caught.value.text


async def test_a_proxy_of_the_environment_is_not_used_for_this_machine(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    async with server(lambda _: answer("200 OK")) as (base, _), control() as client:
        assert (await client.send(get(base))).status == 200


async def test_a_url_that_is_none_is_unreachable():
    async with control() as client:
        with pytest.raises(UpstreamUnreachable):
            await client.send(get("http://[::1"))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:11434/api", True),
        ("http://127.9.9.9/", True),
        ("http://[::1]:8080/", True),
        ("http://localhost:1234", True),
        ("http://localhost.example/", False),
        ("http://127.0.0.1.example/", False),
        ("http://user@10.0.0.1/", False),
        ("http://127.0.0.1@evil.example/", False),
        ("http://[::1", False),
        ("nonsense", False),
    ],
)
def test_loopback_is_told_by_spelling(url, expected):
    assert is_loopback(url) is expected
