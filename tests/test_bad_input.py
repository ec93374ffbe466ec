"""Bad input: the right status, an error in the client's own dialect, no upstream call, and the connection lives on."""

import asyncio
import json

import pytest
import pytest_asyncio

from omniroute.testing import FakeUpstream, Reply

pytestmark = pytest.mark.asyncio(loop_scope="module")

GOOD = b'{"model":"lab/m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}'
ANSWER = {
    "id": "1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}


class World:
    def __init__(self, gateway, upstream):
        self.gateway, self.upstream = gateway, upstream
        self.host, _, port = gateway.base_url.removeprefix("http://").partition(":")
        self.port = int(port)

    async def connect(self):
        return Connection(self, *await asyncio.open_connection(self.host, self.port))


class Connection:
    def __init__(self, world, reader, writer):
        self.world, self.reader, self.writer = world, reader, writer

    async def send(self, body, *, target="/v1/chat/completions", method="POST", headers=None, host=None, more=""):
        """One request; gives status, headers, parsed body. `more` are header lines beside `headers`."""
        fields = {
            "host": host or f"{self.world.host}:{self.world.port}",
            "authorization": f"Bearer {self.world.gateway.client_key}",
            "content-type": "application/json",
            "content-length": str(len(body)),
            **(headers or {}),
        }
        lines = [
            f"{method} {target} HTTP/1.1",
            *(f"{name}: {value}" for name, value in fields.items() if value is not None),
        ]
        self.writer.write("\r\n".join([*lines, more + "\r\n"]).encode("latin-1") + body)
        return await self.answer()

    async def answer(self):
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 20)).decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return int(head[0].split()[1]), headers, json.loads(body) if body else None

    async def close(self):
        self.writer.close()
        await self.writer.wait_closed()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(start_gateway):
    async with FakeUpstream(answer=Reply.json(ANSWER)) as upstream:
        settings = f"""
        [providers.lab]
        dialect = "openai-chat"
        base_url = "{upstream.base_url}"
        api_key = "upstream-key-1"

        [limits]
        max_body_bytes = 100000
        """
        async with start_gateway(settings) as gateway:
            yield World(gateway, upstream)


def with_field(text):
    return GOOD[:-1] + b"," + text + b"}"


def nested(levels):
    return with_field(b'"x":' + b"[" * levels + b"]" * levels)


BODIES = [
    pytest.param(b"", 400, id="B01 empty"),
    pytest.param(b"{", 400, id="B01 truncated"),
    pytest.param(b"not json", 400, id="B01 malformed"),
    pytest.param(b"[]", 400, id="B01 no object"),
    pytest.param(b"null", 400, id="B01 null"),
    pytest.param(b"\xef\xbb\xbf" + GOOD, 400, id="B01 byte order mark"),
    pytest.param(GOOD + b"x", 400, id="B01 trailing bytes"),
    pytest.param(nested(65), 400, id="B02 66 deep"),
    pytest.param(nested(20_000), 400, id="B02 20,001 deep"),
    pytest.param(with_field(b'"x":"' + b"a" * 100_000 + b'"'), 413, id="B03 too large"),
    pytest.param(GOOD.replace(b"hi", b"\xff\xfe"), 400, id="B04 no UTF-8"),
    pytest.param(GOOD.replace(b"hi", b"\\ud83d"), 400, id="B04 lone surrogate"),
    pytest.param(with_field(b'"model":"demo/echo"'), 400, id="B05 model twice"),
    pytest.param(with_field(b'"temperature":NaN'), 400, id="B06 NaN"),
    pytest.param(with_field(b'"temperature":1e999'), 400, id="B06 1e999"),
    pytest.param(with_field(b'"temperature":-1'), 400, id="B06 negative temperature"),
    pytest.param(GOOD.replace(b'"max_tokens":9', b'"max_tokens":-1'), 400, id="B06 -1"),
    pytest.param(GOOD.replace(b'"max_tokens":9', b'"max_tokens":0'), 400, id="B06 0"),
    pytest.param(GOOD.replace(b'"max_tokens":9', b'"max_tokens":9223372036854775808'), 400, id="B06 2^63"),
    pytest.param(GOOD.replace(b'"max_tokens":9', b'"max_tokens":' + b"9" * 5000), 400, id="B06 5,000 digits"),
    pytest.param(GOOD.replace(b'"max_tokens":9', b'"max_tokens":"5"'), 400, id="B06 text for a number"),
    pytest.param(GOOD.replace(b"lab/m", b"lab/../m"), 400, id="B07 dots"),
    pytest.param(GOOD.replace(b"lab/m", b"lab/m\\r\\nx: y"), 400, id="B07 line ends"),
    pytest.param(GOOD.replace(b"lab/m", b"x" * 10_000), 400, id="B07 10 KB"),
    pytest.param(GOOD.replace(b"lab/m", b"nobody/knows"), 404, id="B07 unknown"),
    pytest.param(GOOD.replace(b'"lab/m"', b"7"), 400, id="model is no text"),
    pytest.param(b'{"messages":[]}', 400, id="no model"),
    pytest.param(b'{"model":"lab/m","max_tokens":9}', 400, id="no messages"),
    pytest.param(b'{"model":"lab/m","max_tokens":9,"messages":[]}', 400, id="empty messages"),
    pytest.param(b'{"model":"lab/m","max_tokens":9,"messages":"hi"}', 400, id="messages are no list"),
    pytest.param(with_field(b'"stream":"yes"'), 400, id="stream is no boolean"),
]
DIALECTS = pytest.mark.parametrize("target", ["/v1/chat/completions", "/v1/messages"])


def check_error(target, status, answer):
    got, headers, body = answer
    assert (got, headers["content-type"].partition(";")[0]) == (status, "application/json")
    assert headers["x-request-id"]
    error = body["error"]
    assert error["message"]
    assert "Traceback" not in error["message"]
    if target.startswith("/v1/messages"):
        assert body["type"] == "error"
        kind = {
            400: "invalid_request_error",
            404: "not_found_error",
            413: "request_too_large",
            415: "invalid_request_error",
        }
        assert error["type"] == kind.get(status, error["type"])
    else:
        assert {"message", "type", "param", "code"} <= error.keys()
        assert error["type"] in {"invalid_request_error", "authentication_error"}


@DIALECTS
@pytest.mark.parametrize(("body", "status"), BODIES)
async def test_a_bad_body(world, target, body, status):
    calls = len(world.upstream.requests)
    connection = await world.connect()
    check_error(target, status, await connection.send(body, target=target))
    if status == 413:  # the rest of the body is not read, so the connection ends
        assert await asyncio.wait_for(connection.reader.read(), 20) == b""
        await connection.close()
        connection = await world.connect()
    assert (await connection.send(GOOD, target=target))[0] == 200
    assert len(world.upstream.requests) == calls + 1
    await connection.close()


@DIALECTS
@pytest.mark.parametrize("how", ["declared", "chunked"])
async def test_a_body_beyond_the_limit_is_refused_before_it_is_all_there(world, target, how):
    connection = await world.connect()
    length = (
        {"content-length": "50000000"}
        if how == "declared"
        else {"content-length": None, "transfer-encoding": "chunked"}
    )
    piece = b"" if how == "declared" else b"186a1\r\n" + b" " * 100_001 + b"\r\n"
    check_error(target, 413, await connection.send(piece, target=target, headers=length))
    assert await asyncio.wait_for(connection.reader.read(), 20) == b""
    await connection.close()


HEADERS = [
    pytest.param({"content-type": "text/plain"}, 415, id="B08 text/plain"),
    pytest.param({"content-type": None}, 415, id="B08 no content type"),
    pytest.param({"content-type": "multipart/form-data; boundary=" + "x" * 8000}, 415, id="B08 huge boundary"),
    pytest.param({"content-type": "application/x-www-form-urlencoded"}, 415, id="B08 form"),
    pytest.param({"content-encoding": "gzip"}, 415, id="compressed"),
    pytest.param({"authorization": None}, 401, id="no key"),
    pytest.param({"authorization": "Bearer test-wrong-key-0001"}, 401, id="wrong key"),
    pytest.param({"x-api-key": "test-other-key-0001"}, 400, id="B15 two keys that differ"),
    pytest.param({"x-goog-api-key": "test-other-key-0001"}, 400, id="B15 Google's header differs"),
]


@DIALECTS
@pytest.mark.parametrize(("headers", "status"), HEADERS)
async def test_a_bad_header(world, target, headers, status):
    calls = len(world.upstream.requests)
    connection = await world.connect()
    check_error(target, status, await connection.send(GOOD, target=target, headers=headers))
    await connection.close()
    assert len(world.upstream.requests) == calls


@DIALECTS
async def test_a_key_in_the_query_that_differs_is_refused_and_never_logged(world, target):
    connection = await world.connect()
    check_error(target, 400, await connection.send(GOOD, target=target + "?key=test-query-key-0001"))
    assert (await connection.send(GOOD, target=f"{target}?key={world.gateway.client_key}"))[0] == 200
    await connection.close()
    assert "test-query-key-0001" not in world.gateway.log
    assert world.gateway.client_key not in world.gateway.log


TWICE = [
    pytest.param("", "authorization: Bearer test-other-key-0001\r\n", id="B15 two Authorization headers"),
    pytest.param("", "Content-Type: text/plain\r\n", id="two content types"),
    pytest.param("?key=test-other-key-0001&key=test-other-key-0002", "", id="B15 two keys in the query"),
]


@DIALECTS
@pytest.mark.parametrize(("query", "line"), TWICE)
async def test_what_can_have_one_value_only_is_refused_with_two(world, target, query, line):
    calls = len(world.upstream.requests)
    connection = await world.connect()
    check_error(target, 400, await connection.send(GOOD, target=f"{target}{query}", more=line))
    await connection.close()
    assert len(world.upstream.requests) == calls
    assert "test-other-key" not in world.gateway.log


@DIALECTS
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_another_method_is_not_allowed_and_says_which_is(world, target, method):
    connection = await world.connect()
    status, _, body = await connection.send(b"", target=target, method=method)
    await connection.close()
    assert (status, "POST" in body["error"]["message"]) == (405, True)


@pytest.mark.parametrize("target", ["/v1/nothing", "/V1/chat/completions", "/v1/modelsX", "/", "/v1beta"])
async def test_an_unknown_path_is_not_found(world, target):
    connection = await world.connect()
    status, _, body = await connection.send(GOOD, target=target)
    await connection.close()
    assert (status, body["error"]["code"]) == (404, "route_not_found")


@pytest.mark.parametrize(
    "target", ["/v1/chat/completions", "/v1/models", "/healthz", "/readyz", "/api/status", "/nothing"]
)
async def test_a_foreign_host_meets_no_handler(world, target):
    connection = await world.connect()
    status, _, body = await connection.send(GOOD, target=target, host=f"evil.test:{world.port}")
    await connection.close()
    assert (status, body["error"]["code"]) == (421, "misdirected_request")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:{port}", "LOCALHOST", "[::1]:{port}"])
async def test_own_names_are_answered(world, host):
    connection = await world.connect()
    assert (await connection.send(b"", target="/healthz", method="GET", host=host.format(port=world.port)))[0] == 200
    await connection.close()


async def test_headers_of_the_client_do_not_travel(world):
    secret = {
        "x-forwarded-for": "10.1.2.3",
        "cookie": "a=b",
        "connection": "x-private",
        "x-private": "1",
        "te": "trailers",
        "forwarded": "for=1",
        "x-omniroute-anything": "1",
        "proxy-authorization": "Basic x",
    }
    connection = await world.connect()
    assert (await connection.send(GOOD, headers=secret))[0] == 200
    await connection.close()
    sent = {name.lower(): value for name, value in world.upstream.requests[-1].headers}
    assert not secret.keys() - {"connection"} & sent.keys()
    assert world.gateway.client_key not in str(sent)
    assert sent["authorization"] == "Bearer upstream-key-1"


@pytest.mark.parametrize("field", ["api_base", "base_url", "baseUrl", "region", "provider_options", "api_key"])
async def test_a_body_cannot_choose_where_a_credential_goes(world, field):
    """The upstream gets the field as it is, at the address the settings say."""
    async with FakeUpstream() as elsewhere:
        connection = await world.connect()
        value = json.dumps(
            {"baseUrl": elsewhere.base_url} if field == "provider_options" else elsewhere.base_url
        ).encode()
        status, _, _ = await connection.send(
            with_field(b'"%b":%b' % (field.encode(), value)), headers={"x-upstream-host": elsewhere.origin}
        )
        await connection.close()
        assert status == 200
        assert elsewhere.connections == []


async def test_a_redirect_does_not_take_the_credential_along(world):
    async with FakeUpstream() as elsewhere:
        world.upstream.queue(Reply(307, {"location": elsewhere.base_url + "/chat/completions"}))
        connection = await world.connect()
        status, _, body = await connection.send(GOOD)
        await connection.close()
        assert (status, "redirect" in body["error"]["message"]) == (502, True)
        assert elsewhere.connections == []


async def test_only_listed_headers_of_the_upstream_come_back(world):
    world.upstream.queue(
        Reply.json(
            ANSWER,
            headers={
                "set-cookie": "a=b",
                "access-control-allow-origin": "*",
                "server": "them",
                "content-security-policy": "x",
                "x-whatever": "1",
            },
        )
    )
    connection = await world.connect()
    _, headers, _ = await connection.send(GOOD)
    await connection.close()
    assert headers.keys() <= {
        "date",
        "content-type",
        "content-length",
        "x-request-id",
        "x-omniroute-provider",
        "x-omniroute-model",
        "x-omniroute-attempts",
    }


@pytest.mark.parametrize(
    ("given", "kept"), [("my-id.1:2_3", True), ("bad id", False), ("x" * 129, False), ("a;b", False)]
)
async def test_a_sane_request_id_is_kept(world, given, kept):
    connection = await world.connect()
    _, headers, _ = await connection.send(GOOD, headers={"x-request-id": given})
    await connection.close()
    assert (headers["x-request-id"] == given.lower()) is kept


async def test_client_keys_do_not_open_management_and_its_key_does_not_open_the_model_api(world):
    connection = await world.connect()
    status, _, _ = await connection.send(b"", target="/api/status", method="GET")
    assert status == 401
    await connection.close()
