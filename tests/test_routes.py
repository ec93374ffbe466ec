"""The whole routing table over a real socket: nobody gets more than a handler declares, however he asks.

Everything here is enumerated from the application itself, so a route that is added is tested without a word. No upstream
is called: the demo provider answers.
"""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import msgspec
import pytest
import pytest_asyncio
from litestar import Litestar, WebSocket, asgi, get, websocket
from litestar.types import Receive, Scope, Send

from omniroute import settings
from omniroute.app import Front, build_app
from omniroute.errors import InternalError
from omniroute.gateway import Gateway
from omniroute.management import check_declared
from omniroute.server import running
from omniroute.server.attendant import ATTENDANT, Unattended

pytestmark = pytest.mark.asyncio(loop_scope="module")

CLIENT_KEY = "test-client-key-0001"
PUBLIC = {"/healthz", "/readyz"}
MODEL_LISTS = {"/v1/models", "/models"}
"""The kernel's own routes of the model API."""
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get")
WRITES = ("POST", "PUT", "PATCH", "DELETE")
CLIENTS_TREASURES = (b"treasure-alias", b"demo/")
MANAGEMENTS_TREASURES = (b"treasure-account", b"treasure-key")
ASKING = {"/api/route/explain", "/api/drill", "/api/import/plan"}
"""Take a body and change nothing."""
UNKNOWN = ("/api/schema/x", "nobody")
"""In the paths of things there are not."""
FORBIDDEN = {
    None: (*CLIENTS_TREASURES, *MANAGEMENTS_TREASURES),
    "client": MANAGEMENTS_TREASURES,
    "management": (),
}
"""What a caller must never be told, by the access he has: names of models and aliases, of accounts and keys."""
HEALTHY = b'{"status":"ok"}'
SETTINGS = {
    "auth.keys": [{"name": "treasure-key", "key": CLIENT_KEY}],
    "accounts": [{"provider": "openai", "name": "treasure-account", "api_key": "upstream-key-1"}],
    "aliases.treasure-alias": "demo/echo",
}
PARAMETERS = {
    "{model}": "demo/echo",
    "{key_id:str}": "nobody",
    "{request_id:str}": "nobody",
    "{sign_in_id:str}": "nobody",
    "{provider:str}": "openai",
    "{name:str}": "nobody",
}
PROMPT = {"model": "demo/echo", "prompt": "hi"}
QUESTION = {
    "model": "demo/echo",
    "max_tokens": 9,
    "messages": [{"role": "user", "content": "hi"}],
    "input": "hi",
    "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
}
"""One for every dialect: each takes what it knows and leaves the rest."""
BODIES = {
    "/v1/completions": PROMPT,
    "/completions": PROMPT,
    "/api/keys": {"name": "made"},
    "/api/accounts/openai/nobody": {"paused": True},
    "/api/accounts/openai/nobody/name": {"name": "somebody"},
    "/api/sign-ins": {"provider": "openai", "name": "treasure-account"},
    "/api/sign-ins/nobody/redirect": {"text": "http://127.0.0.1/?code=x"},
    "/api/drill": {"model": "demo/echo", "fault": "429"},
    "/api/accounts": {"provider": "openai", "name": "made", "api_key": "upstream-key-2"},
    "/api/import": {
        "provider": "openai",
        "name": "taken",
        "origin": "env:X",
        "kind": "key",
        "api_key": "upstream-key-3",
    },
    "/api/import/plan": {"candidates": []},
}


Headers = tuple[str, ...]


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody with a key, or none, in some place of the request."""

    name: str
    may: str | None = None
    """The access that he has beyond `public`."""
    headers: Headers = ()
    query: str = ""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    method: str
    path: str
    access: str

    @property
    def body(self) -> bytes:
        """One with which the handler would do something, if it came that far."""
        return json.dumps(BODIES.get(self.path, QUESTION)).encode() if self.method in {"POST", "PATCH"} else b""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    status: int
    """0 when the connection was closed without one."""
    headers: dict[str, str] = {}
    body: bytes = b""

    def tells_too_much(self, caller: Caller) -> bool:
        return any(treasure in self.body for treasure in FORBIDDEN[caller.may])

    @property
    def gives(self) -> bool:
        return 0 < self.status < 400


class World:
    def __init__(self, gateway: Gateway, front: Front, port: int) -> None:
        self.gateway, self.front, self.app, self.port = gateway, front, front._app, port
        self.management_key = gateway.management_key.key.reveal()
        self.endpoints = [*self._handlers(), *self._below_mounts()]

    def _handlers(self) -> Iterator[Endpoint]:
        for route in self.app.routes:
            for handler in getattr(route, "route_handlers", None) or [route.route_handler]:
                methods = getattr(handler, "http_methods", None) or self._entered_by(route.path)
                for method in sorted({*methods} - {"OPTIONS"}):
                    yield Endpoint(method=method, path=filled(route.path), access=handler.opt["access"])

    def _entered_by(self, root: str) -> set[str]:
        """The methods that the translators and the kernel take at the root of an `@asgi` handler."""
        declared = {method for method, path in self.gateway.registry.ingress if path == root}
        return declared | ({"GET"} if root in MODEL_LISTS else set())

    def _below_mounts(self) -> Iterator[Endpoint]:
        declared = [*self.gateway.registry.ingress, *(("GET", f"{root}/{{model}}") for root in MODEL_LISTS)]
        for method, path in declared:
            if "{" in path:
                yield Endpoint(method=method, path=filled(path), access="client")

    async def ask(
        self,
        method: str,
        target: str,
        headers: Headers = (),
        body: bytes = b"",
        kind: str | None = "application/json",
    ) -> Answer:
        """One raw request on a connection of its own."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        lines = [f"{method} {target} HTTP/1.1", f"host: 127.0.0.1:{self.port}", "connection: close", *headers]
        lines += [f"content-length: {len(body)}"] if body else []
        lines += [f"content-type: {kind}"] if body and kind else []
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        try:
            head, _, rest = (await asyncio.wait_for(reader.read(-1), 20)).partition(b"\r\n\r\n")
        finally:
            writer.close()
        if not head:
            return Answer(status=0)
        first, *fields = head.decode("latin-1").split("\r\n")
        parsed = dict(field.lower().split(": ", 1) for field in fields)
        return Answer(status=int(first.split()[1]), headers=parsed, body=rest)

    async def ask_as(self, caller: Caller, endpoint: Endpoint, target: str | None = None) -> Answer:
        path = endpoint.path if target is None else target
        return await self.ask(endpoint.method, path + caller.query, caller.headers, endpoint.body)

    @property
    def state(self) -> tuple[Any, ...]:
        """What a caller could have changed."""
        return self.gateway.keys.list(), self.gateway.accounts.all()


def filled(path: str) -> str:
    for parameter, value in PARAMETERS.items():
        path = path.replace(parameter, value)
    return path.replace("{path:str}", "x")


PLACES = {
    "bearer": (("authorization: Bearer {}",), ""),
    "bearer in capitals": (("Authorization: BEARER {}",), ""),
    "x-api-key": (("x-api-key: {}",), ""),
    "x-goog-api-key": (("x-goog-api-key: {}",), ""),
    "key in the query": ((), "?key={}"),
    "api_key in the query": ((), "?api_key={}"),
    "access_token in the query": ((), "?access_token={}"),
    "authorization without a scheme": (("authorization: {}",), ""),
    "basic": (("authorization: Basic {}",), ""),
    "proxy-authorization": (("proxy-authorization: Bearer {}",), ""),
    "cookie": (("cookie: auth_token={0}; session={0}; key={0}; management_key={0}",), ""),
    "header of our own": (("x-management-key: {0}", "x-omniroute-key: {0}", "omniroute-key: {0}"), ""),
}
CLIENT_PLACES = {"bearer", "bearer in capitals", "x-api-key", "x-goog-api-key", "key in the query"}
MANAGEMENT_PLACES = {"bearer", "bearer in capitals"}


def callers(management_key: str) -> Iterator[Caller]:
    """Nobody; a key that was never one, the client's, and management's, in every place a key might be put."""
    yield Caller(name="nobody")
    keys = {
        "wrong": ("omr_aaaaaaaa_" + "a" * 43, set(), None),
        "nearly management": (management_key[:-1] + "!", set(), None),
        "client": (CLIENT_KEY, CLIENT_PLACES, "client"),
        "management": (management_key, MANAGEMENT_PLACES, "management"),
    }
    for (kind, (key, good, access)), (place, (headers, query)) in itertools.product(keys.items(), PLACES.items()):
        yield Caller(
            name=f"{kind}, {place}",
            may=access if place in good else None,
            headers=tuple(header.format(key) for header in headers),
            query=query.format(quote(key)),
        )


def usual_callers(management_key: str) -> list[Caller]:
    wanted = ("nobody", "client, bearer", "management, bearer")
    return [caller for caller in callers(management_key) if caller.name in wanted]


@asynccontextmanager
async def served(directory: Path, **more: Any) -> AsyncIterator[World]:
    """The standard set of plugins behind a socket."""
    loaded = settings.load(
        data_dir=directory / "data", environ={}, cwd=directory, config_dir=directory, overrides={**SETTINGS, **more}
    )
    gateway = await Gateway.open(loaded)
    try:
        front = build_app(gateway)
        async with running(front) as server:
            yield World(gateway, front, server.port)
    finally:
        await gateway.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory):
    async with served(tmp_path_factory.mktemp("routes")) as world:
        yield world


# --- what is declared -------------------------------------------------------------------------------------------------


async def test_every_handler_says_who_may_call_it(world):
    check_declared(world.app)
    by_access = {
        access: {e.path for e in world.endpoints if e.access == access} for access in ("public", "client", "management")
    }
    assert sum(map(len, by_access.values())) == len({endpoint.path for endpoint in world.endpoints})
    assert by_access["public"] == PUBLIC
    assert {path for path in by_access["client"] if path.startswith("/api")} == set()
    assert {path for path in by_access["management"] if not path.startswith("/api/")} == set()
    assert {path for _, path in world.gateway.registry.ingress if "{" not in path} <= by_access["client"]


@get("/api/undeclared")
async def undeclared_get() -> str:
    return "treasure"


@get("/undeclared", opt={"access": "admin"})
async def misdeclared_get() -> str:
    return "treasure"


@asgi("/undeclared", copy_scope=False)
async def undeclared_asgi(scope: Scope, receive: Receive, send: Send) -> None:
    pass


@asgi("/v1/models/undeclared", is_mount=True, copy_scope=False, opt={"Access": "client"})
async def misspelt_mount(scope: Scope, receive: Receive, send: Send) -> None:
    pass


@websocket("/undeclared")
async def undeclared_websocket(socket: WebSocket[Any, Any, Any]) -> None:
    pass


@pytest.mark.parametrize(
    "handler",
    [undeclared_get, misdeclared_get, undeclared_asgi, misspelt_mount, undeclared_websocket],
    ids=["a get", "an access that is none", "an asgi handler", "a mount", "a websocket"],
)
async def test_a_handler_that_does_not_say_so_never_comes_into_service(world, handler):
    app = Litestar(openapi_config=None, logging_config=None)
    app.register(handler)
    with pytest.raises(InternalError, match="do not say who may call them") as refused:
        check_declared(app)
    assert next(iter(handler.paths)) in refused.value.why


# --- who gets what ----------------------------------------------------------------------------------------------------


async def test_each_endpoint_answers_those_it_says_and_nobody_else(world):
    before = world.state
    writes = [e for e in world.endpoints if e.method in WRITES and e.access == "management" and e.path not in ASKING]
    assert writes
    nobody = Caller(name="nobody")
    for endpoint, caller in itertools.product(world.endpoints, callers(world.management_key)):
        answer = await world.ask_as(caller, endpoint)
        told = (endpoint, caller.name, answer.status)
        if endpoint.access == "public":
            assert answer.status == 200, told
        elif caller.may != endpoint.access:
            assert answer.status == 401, told
            assert not answer.tells_too_much(nobody), told
        elif endpoint in writes:  # done once, a conflict or nothing to delete afterwards
            assert answer.status in {200, 201, 409, 404}, told
            before = world.state
        else:
            assert answer.status == (404 if any(name in endpoint.path for name in UNKNOWN) else 200), told
        assert world.state == before, told


async def test_no_other_method_gives_anything(world):
    paths = {endpoint.path for endpoint in world.endpoints}
    declared = {(endpoint.method, endpoint.path) for endpoint in world.endpoints}
    before = world.state
    for path, method in itertools.product(paths, METHODS):
        if (method, path) in declared or method == "OPTIONS":
            continue
        for caller in usual_callers(world.management_key):
            answer = await world.ask(method, path + caller.query, caller.headers, b"{}" if method in WRITES else b"")
            assert not answer.gives, (method, path, caller.name, answer.status)
            assert not answer.tells_too_much(caller), (method, path, caller.name)
    assert world.state == before


SPELLINGS = [
    "/{0}/", "//{0}", "///{0}", "/{0}//", "/./{0}", "/{0}/.", "/x/../{0}", "/{0}/..", "/{0}/../{1}", "/v1/../{0}",
    "/v1/models/../../{0}", "/healthz/../{0}", "/healthz/{0}", "/healthz%2f..%2f{0}", "/%2e/{0}", "/%2e%2e/{0}",
    "/%2f{0}", "/{0}%2f", "/{0}%252f", "/{0}%00", "/{0}%20", "/{0};a=b", "/;a=b/{0}", "/{0};/", "/{0}#x", "/{0}.json",
    "/{0}?key=x", "/{0}?a=b#c", "/{0}\\", "\\{0}", "/\\{0}", "{0}", "*",
]  # fmt: skip
REWRITINGS = {
    "capitals": str.upper,
    "one capital": lambda path: path[:1].upper() + path[1:],
    "first letter encoded": lambda path: f"%{ord(path[0]):02x}{path[1:]}",
    "every letter encoded": lambda path: "".join(c if c == "/" else f"%{ord(c):02x}" for c in path),
    "encoded twice": lambda path: "".join(c if c == "/" else f"%25{ord(c):02x}" for c in path),
    "slashes encoded": lambda path: path.replace("/", "%2f"),
    "slashes encoded in capitals": lambda path: path.replace("/", "%2F"),
    "slashes doubled": lambda path: path.replace("/", "//"),
    "dots between": lambda path: path.replace("/", "/./"),
    "backslashes": lambda path: path.replace("/", "\\"),
    "parameters in each step": lambda path: path.replace("/", ";a=b/"),
    "overlong": lambda path: path.replace("/", "%c0%af"),
    "full width": lambda path: path.replace("a", "%ef%bd%81").replace("v", "%ef%bd%96"),
}
ORIGINS = ("http://127.0.0.1:{port}", "http://evil.test", "https://127.0.0.1", "//evil.test")


def variants(path: str, port: int) -> Iterator[str]:
    bare = path.removeprefix("/")
    for spelling in SPELLINGS:
        yield spelling.format(bare, bare.rpartition("/")[2])
    for rewrite in REWRITINGS.values():
        yield "/" + rewrite(bare)
    for origin in ORIGINS:
        yield origin.format(port=port) + path


async def test_no_spelling_of_a_path_gives_more_than_the_plain_one(world):
    """Whoever gets nothing at the plain path gets nothing at a variant of it, unless that is another path he may ask."""
    closed = [endpoint for endpoint in world.endpoints if endpoint.access != "public"]
    for endpoint, caller in itertools.product(closed, usual_callers(world.management_key)):
        before = world.state
        for target in variants(endpoint.path, world.port):
            answer = await world.ask_as(caller, endpoint, target)
            told = (caller.name, endpoint.method, target, answer.status)
            assert not answer.tells_too_much(caller), told
            if caller.may is None or (caller.may == "management" and endpoint.access == "client"):
                assert not answer.gives or answer.body == HEALTHY, told
            assert world.state == before or caller.may == "management", told


REWRITING_HEADERS = [
    "x-original-url: {0}", "x-rewrite-url: {0}", "x-original-uri: {0}", "x-forwarded-uri: {0}", "x-forwarded-path: {0}",
    "x-forwarded-prefix: /api", "x-script-name: /api", "x-forwarded-for: 127.0.0.1", "x-real-ip: 127.0.0.1",
    "forwarded: for=127.0.0.1;host=localhost", "x-forwarded-host: localhost", "x-forwarded-proto: https",
    "x-forwarded-user: admin", "x-remote-user: admin", "x-client-verify: SUCCESS", "x-http-method-override: GET",
    "x-http-method: DELETE", "x-method-override: DELETE", "sec-fetch-site: same-origin", "referer: http://127.0.0.1/api",
]  # fmt: skip


@pytest.mark.parametrize("header", REWRITING_HEADERS, ids=lambda header: header.partition(":")[0])
async def test_no_header_stands_in_for_a_path_or_a_key(world, header):
    before = world.state
    for endpoint in world.endpoints:
        if endpoint.access == "public":
            continue
        extra = (header.format(endpoint.path),)
        assert (await world.ask("GET", "/healthz", extra)).body == HEALTHY
        assert (await world.ask(endpoint.method, endpoint.path, extra, endpoint.body)).status == 401, endpoint
        if endpoint.access == "management":
            as_client = (f"authorization: Bearer {CLIENT_KEY}", *extra)
            assert (await world.ask(endpoint.method, endpoint.path, as_client, endpoint.body)).status == 401, endpoint
            listed = await world.ask("GET", "/v1/models/demo/echo", as_client)
            assert (listed.status, b"treasure" in listed.body) == (200, False)
    assert world.state == before


# --- browsers ---------------------------------------------------------------------------------------------------------

TELLS_NOTHING = {"date", "connection", "content-length", "content-type", "x-request-id", "allow", "www-authenticate"}


async def test_options_gives_nothing_away(world):
    """An empty answer with the methods, or a refusal; on /api not even that without the key."""
    for path in {endpoint.path for endpoint in world.endpoints}:
        methods = {endpoint.method for endpoint in world.endpoints if endpoint.path == path}
        for caller in usual_callers(world.management_key):
            answer = await world.ask("OPTIONS", path, caller.headers)
            told = (path, caller.name, answer.status, answer.headers)
            assert answer.headers.keys() <= TELLS_NOTHING | {"cache-control"}, told
            if answer.gives:
                assert (answer.status, answer.body) == (204, b""), told
                allowed = {method.upper() for method in answer.headers["allow"].split(", ")}
                assert allowed <= methods | {"OPTIONS"}, told
                assert not path.startswith("/api") or caller.may == "management", told
            else:
                assert answer.status == (401 if path.startswith("/api") else 405), told
                assert not answer.tells_too_much(caller), told


@pytest.mark.parametrize("origin", ["https://evil.test", "null", "http://127.0.0.1:{port}", "http://localhost"])
async def test_no_route_answers_a_page_of_another_origin(world, origin):
    origin = f"origin: {origin.format(port=world.port)}"
    preflight = ("access-control-request-headers: authorization", "access-control-request-private-network: true")
    for endpoint in world.endpoints:
        for caller in usual_callers(world.management_key):
            asking = f"access-control-request-method: {endpoint.method}"
            for answer in (
                await world.ask(endpoint.method, endpoint.path, (*caller.headers, origin), endpoint.body),
                await world.ask("OPTIONS", endpoint.path, (*caller.headers, origin, asking, *preflight)),
            ):
                granted = [name for name in answer.headers if name.startswith(("access-control-", "timing-allow"))]
                assert granted == [], (endpoint, caller.name)
                assert "set-cookie" not in answer.headers


FORMS = {
    "text/plain": b'{"name": "made", "x": "="}',
    "application/x-www-form-urlencoded": b"name=made",
    "multipart/form-data; boundary=b": b'--b\r\ncontent-disposition: form-data; name="name"\r\n\r\nmade\r\n--b--\r\n',
    "text/json": b'{"name": "made"}',
    "application/json-patch+json": b"[]",
    "": b'{"name": "made"}',
}


@pytest.mark.parametrize("kind", FORMS, ids=lambda kind: kind.partition(";")[0] or "no type")
async def test_a_form_a_page_could_send_changes_nothing(world, kind):
    """A browser sends these across origins without asking, and would send a cookie along."""
    before = world.state
    cookie = f"cookie: session={world.management_key}; auth_token={world.management_key}"
    writes = [e for e in world.endpoints if e.method in {"POST", "PUT", "PATCH"}]
    assert {endpoint.access for endpoint in writes} == {"client", "management"}
    for endpoint in writes:
        key = CLIENT_KEY if endpoint.access == "client" else world.management_key
        for path in (endpoint.path, f"{endpoint.path}/"):
            with_key = await world.ask(
                endpoint.method, path, (f"authorization: Bearer {key}",), FORMS[kind], kind or None
            )
            with_cookie = await world.ask(
                endpoint.method, path, (cookie, "origin: https://evil.test"), FORMS[kind], kind or None
            )
            assert (with_key.status, with_cookie.status) == (415, 401), (endpoint, path)
    assert world.state == before


@pytest.mark.parametrize("origin", [(), ("origin: https://evil.test",), ("sec-fetch-site: cross-site",)], ids=str)
async def test_a_cookie_is_no_credential_for_any_write(world, origin):
    before = world.state
    cookie = f"cookie: session={world.management_key}; key={CLIENT_KEY}"
    for endpoint in world.endpoints:
        if endpoint.method in WRITES:
            answer = await world.ask(endpoint.method, endpoint.path, (cookie, *origin), endpoint.body)
            assert answer.status == 401, endpoint
    assert world.state == before


async def test_a_connection_counts_as_a_strangers_until_a_valid_key_came_over_it(world):
    """Every handler that takes a key says so to the server, which has room for so many strangers of one address."""
    keys = {"client": CLIENT_KEY, "management": world.management_key, "public": CLIENT_KEY}
    for endpoint in world.endpoints:
        for key in (keys[endpoint.access], "test-wrong-key-0001"):
            scope, (receive, send) = asgi_scope(endpoint, key), silent(endpoint.body)
            attendant = scope[ATTENDANT] = Vouched(scope, receive)
            await world.front(scope, receive, send)
            assert attendant.known == (key in keys.values() and endpoint.access != "public"), (endpoint, key)


class Vouched(Unattended):
    known = False

    def vouch(self) -> None:
        self.known = True


def asgi_scope(endpoint: Endpoint, key: str) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": endpoint.method,
        "scheme": "http",
        "root_path": "",
        "path": unquote(endpoint.path),
        "raw_path": endpoint.path.encode(),
        "query_string": b"",
        "headers": [
            (b"host", b"127.0.0.1"),
            (b"authorization", b"Bearer " + key.encode()),
            (b"content-type", b"application/json"),
        ],
        "client": ("192.0.2.7", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }


def silent(body: bytes) -> tuple[Receive, Send]:
    """A client that sends the body, listens to nothing and stays."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        return messages.pop() if messages else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        del message

    return receive, send


# --- without client keys ----------------------------------------------------------------------------------------------


async def test_keyless_mode_opens_the_model_api_and_nothing_else(tmp_path):
    async with served(tmp_path, **{"auth.require_client_key": False}) as world:
        nobody = Caller(name="nobody")
        for endpoint in world.endpoints:
            answer = await world.ask_as(nobody, endpoint)
            assert answer.status == (401 if endpoint.access == "management" else 200), endpoint
            answer = await world.ask(endpoint.method, endpoint.path, ("host: evil.test",), endpoint.body)
            assert answer.status == 400, endpoint  # two Host headers
