from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from omniroute.errors import PayloadTooLarge
from omniroute.server import ClientDisconnected, read_body, relayed_headers

GONE = {"type": "http.disconnect"}


def scripted(*messages: dict[str, Any]) -> Callable[[], Awaitable[dict[str, Any]]]:
    left = list(messages)

    async def receive() -> dict[str, Any]:
        return left.pop(0)  # an IndexError says that too much was asked for

    return receive


def part(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_a_body_in_one_piece_is_not_copied():
    body = b"x" * 100
    assert await read_body(None, scripted(part(body)), 100) is body


@pytest.mark.parametrize(
    ("messages", "body"),
    [
        ([part(b"")], b""),
        ([{"type": "http.request"}], b""),
        ([part(b"ab", more=True), part(b"cd")], b"abcd"),
        ([part(b"", more=True), part(b"ab", more=True), part(b"")], b"ab"),
        ([part(b"12345", more=True), part(b"67890")], b"1234567890"),
    ],
)
async def test_pieces_are_joined(messages, body):
    assert await read_body(None, scripted(*messages), 10) == body


@pytest.mark.parametrize(
    ("declared", "messages"),
    [
        pytest.param("11", [], id="declared, and nothing is read"),
        pytest.param(None, [part(b"x" * 11)], id="in one piece"),
        pytest.param(None, [part(b"x" * 6, more=True), part(b"x" * 5)], id="in two"),
        pytest.param(None, [part(b"x" * 11, more=True)], id="more to come, which is not read"),
        pytest.param("5", [part(b"x" * 11, more=True)], id="more than declared"),
    ],
)
async def test_a_body_over_the_limit_is_refused_as_soon_as_that_is_known(declared, messages):
    with pytest.raises(PayloadTooLarge, match="10 bytes"):
        await read_body(declared, scripted(*messages), 10)


@pytest.mark.parametrize("messages", [[GONE], [part(b"ab", more=True), GONE]])
async def test_a_client_that_leaves_is_told_apart_from_an_empty_body(messages):
    with pytest.raises(ClientDisconnected):
        await read_body(None, scripted(*messages), 10)


KEPT = {
    "content-type": "content-type",
    "retry-after": "retry-after",
    "retry-after-ms": "retry-after-ms",
    "request-id": "x-upstream-request-id",
    "x-request-id": "x-upstream-request-id",
    "x-ratelimit-remaining-tokens": "x-ratelimit-remaining-tokens",
    "anthropic-ratelimit-unified-reset": "anthropic-ratelimit-unified-reset",
    "ratelimit-policy": "ratelimit-policy",
}
DROPPED = [
    "set-cookie", "set-cookie2", "connection", "keep-alive", "proxy-authenticate", "te", "trailer", "upgrade",
    "transfer-encoding", "content-length", "content-encoding", "server", "date", "via", "alt-svc", "location",
    "access-control-allow-origin", "access-control-allow-credentials", "content-security-policy", "x-frame-options",
    "strict-transport-security", "www-authenticate", "x-omniroute-provider", "organization", "refresh", "link",
]  # fmt: skip


@pytest.mark.parametrize(("name", "ours"), KEPT.items())
def test_headers_that_help_a_client_come_back(name, ours):
    assert relayed_headers({name: "v"}) == [(ours.encode(), b"v")]


@pytest.mark.parametrize("name", DROPPED)
def test_all_other_headers_of_an_upstream_are_dropped(name):
    assert relayed_headers({name: "v"}) == []


@pytest.mark.parametrize("value", ["a\r\nset-cookie: b", "a\nb", "a\x00b", "a\x1b[2Jb"])
def test_a_value_that_could_end_a_line_is_dropped(value):
    assert relayed_headers({"content-type": value, "x-ratelimit-limit": value}) == []


@pytest.mark.parametrize("name", ["x-ratelimit-\r\nevil", "x-ratelimit-é", "x-ratelimit- evil", "x-ratelimit-a:b"])
def test_a_name_that_is_none_is_dropped(name):
    assert relayed_headers({name: "v"}) == []
