import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from litestar import Litestar, Router, asgi, get

from omniroute import settings
from omniroute.api import Credential, FactsProvider, HttpRequest, HttpResponse, ProviderFacts, Secret, hookimpl
from omniroute.control import ControlClient
from omniroute.errors import InternalError
from omniroute.gateway import Gateway
from omniroute.management import build_management, build_openapi, check_declared, declare
from omniroute.server import running

FACTS = ProviderFacts(name="acme", aliases=("ac",), dialect="test", base_url="https://api.acme.example/v1")
KEYLESS = ProviderFacts(name="free", dialect="test", base_url="http://127.0.0.1:9/v1", auth="none")
CLIENT_KEY = "test-client-key-0001"


class Dialect:
    dialect = "test"
    framing = "sse"
    ingress = ()


class Scheme:
    """Asks the provider whether the key is good."""

    name = "api-key"

    def sign_in(self, facts, given):
        response = yield HttpRequest(method="GET", url=f"{facts.base_url}/me")
        return Credential(access=Secret(given["api_key"].reveal() + response.body.decode()))


class Plugin:
    def __init__(self, facts: ProviderFacts = FACTS) -> None:
        self.facts = facts

    @hookimpl
    def register_translators(self):
        return [Dialect()]

    @hookimpl
    def register_auth_schemes(self):
        return [Scheme()]

    @hookimpl
    def register_providers(self):
        return [FactsProvider(self.facts), FactsProvider(KEYLESS)]


class Api:
    """A client of a served management API."""

    def __init__(self, url: str, gateway: Gateway) -> None:
        self.url = url
        self.gateway = gateway
        self.key = gateway.management_key.key.reveal()

    async def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> HttpResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.gateway.control.send(
            HttpRequest(method=method, url=self.url + path, headers=named, body=body)
        )

    async def call(self, method: str, path: str, body: object = None) -> tuple[int, object]:
        """With the management key; (status, decoded answer)."""
        encoded = b"" if body is None else json.dumps(body).encode()
        headers = {"authorization": f"Bearer {self.key}"} | (
            {} if body is None else {"content_type": "application/json"}
        )
        response = await self.send(method, path, encoded, **headers)
        return response.status, json.loads(response.body) if response.body else None


@asynccontextmanager
async def opened(tmp_path: Path, facts: ProviderFacts = FACTS) -> AsyncIterator[Api]:
    loaded = settings.load(
        data_dir=tmp_path / "data",
        environ={},
        cwd=tmp_path,
        config_dir=tmp_path,
        overrides={
            "plugins.only": [],
            "auth.keys": [{"name": "laptop", "key": CLIENT_KEY}],
            "accounts": [{"provider": "acme", "name": "work", "api_key": "test-account-key"}],
        },
    )
    gateway = await Gateway.open(loaded, given={"acme": Plugin(facts)}, serving=False)
    app = Litestar([build_management(gateway)], openapi_config=build_openapi(gateway), logging_config=None)
    check_declared(app)
    try:
        async with running(app) as server:
            yield Api(server.base_url, gateway)
    finally:
        await gateway.close()


@pytest.fixture
async def api(tmp_path):
    async with opened(tmp_path) as api:
        yield api


# --- the same request twice -------------------------------------------------------------------------------------------

NEW_KEY = {"name": "ci"}
NEW_ACCOUNT = {"provider": "free", "name": "home"}


async def write(api, path, body, key="once", **headers):
    named = {
        "authorization": f"Bearer {api.key}",
        "content_type": "application/json",
        "idempotency_key": key,
        **headers,
    }
    return await api.send("POST", path, json.dumps(body).encode(), **named)


@pytest.mark.parametrize(
    ("path", "body", "listed"),
    [("/api/keys", NEW_KEY, "ci"), ("/api/accounts", NEW_ACCOUNT, "free/home")],
    ids=["a key", "an account"],
)
async def test_a_write_that_is_sent_again_makes_nothing_twice(api, path, body, listed):
    first = await write(api, path, body)
    assert first.status == 201
    again = await write(api, path, body)
    assert (again.status, again.body) == (201, first.body)
    assert (again.headers["x-omniroute-cache"], again.headers["cache-control"]) == ("replay", "no-store")
    _, entries = await api.call("GET", path)
    names = [entry["name"] if path == "/api/keys" else f"{entry['provider']}/{entry['name']}" for entry in entries]
    assert names.count(listed) == 1


async def test_another_write_under_the_same_key_is_a_409(api):
    assert (await write(api, "/api/keys", NEW_KEY)).status == 201
    for path, body in (("/api/keys", {"name": "other"}), ("/api/accounts", NEW_KEY), ("/api/keys?x=1", NEW_KEY)):
        refused = await write(api, path, body)
        assert (refused.status, json.loads(refused.body)["error"]["code"]) == (409, "idempotency_conflict")
    assert (await write(api, "/api/keys", {"name": "other"}, key="twice")).status == 201


async def test_a_write_that_was_refused_leaves_its_key_free(api):
    assert (await write(api, "/api/keys", {"name": ""})).status == 400
    assert (await write(api, "/api/keys", NEW_KEY)).status == 201


@pytest.mark.parametrize("authorization", ["", "Bearer test-wrong-key", f"Bearer {CLIENT_KEY}"])
async def test_a_stored_answer_is_for_the_management_key_alone(api, authorization):
    made = await write(api, "/api/keys", NEW_KEY)
    refused = await write(api, "/api/keys", NEW_KEY, authorization=authorization)
    assert refused.status == 401
    assert json.loads(made.body)["key"] not in refused.body.decode()


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there"])
async def test_a_key_that_is_none_is_a_400(api, key):
    assert (await write(api, "/api/keys", NEW_KEY, key=key)).status == 400


async def test_a_write_that_is_still_under_way_is_a_409_with_when_to_come_back(api):
    begun, go = asyncio.Event(), asyncio.Event()
    create = api.gateway.keys.create

    async def slowly(*arguments, **options):
        begun.set()
        await go.wait()
        return await create(*arguments, **options)

    api.gateway.keys.create = slowly
    first = asyncio.create_task(write(api, "/api/keys", NEW_KEY))
    await begun.wait()
    refused = await write(api, "/api/keys", NEW_KEY)
    go.set()
    assert (refused.status, refused.headers["retry-after"]) == (409, "1")
    assert (await first).status == 201


async def test_of_what_is_too_large_nothing_is_kept_in_mind(api):
    answer = await write(api, "/api/keys", {"name": "x" * 2_000_000})
    assert answer.status == 413


async def test_looking_is_done_anew_each_time(api):
    body = {"model": "nobody-has-this", "messages": [{"role": "user", "content": "hi"}]}
    for _ in range(2):
        answer = await write(api, "/api/route/explain", body)
        assert "x-omniroute-cache" not in answer.headers


# --- who may call -----------------------------------------------------------------------------------------------------

ROUTES = [
    ("GET", "/api/status"),
    ("GET", "/api/models"),
    ("GET", "/api/providers"),
    ("GET", "/api/providers/acme"),
    ("GET", "/api/quota"),
    ("GET", "/api/plugins"),
    ("GET", "/api/config"),
    ("POST", "/api/route/explain"),
    ("GET", "/api/requests/acme-1"),
    ("POST", "/api/drill"),
    ("GET", "/api/import"),
    ("GET", "/api/import/local"),
    ("POST", "/api/import/plan"),
    ("POST", "/api/import"),
    ("GET", "/api/combos"),
    ("GET", "/api/combos/both"),
    ("GET", "/api/combos/both/metrics"),
    ("POST", "/api/combos/both/test"),
    ("GET", "/api/keys"),
    ("POST", "/api/keys"),
    ("DELETE", "/api/keys/laptop"),
    ("GET", "/api/accounts"),
    ("POST", "/api/accounts"),
    ("GET", "/api/accounts/acme/work"),
    ("PATCH", "/api/accounts/acme/work"),
    ("DELETE", "/api/accounts/acme/work"),
    ("POST", "/api/accounts/acme/work/name"),
    ("POST", "/api/accounts/acme/work/test"),
    ("POST", "/api/accounts/acme/work/refresh"),
    ("POST", "/api/accounts/acme/work/reset"),
    ("POST", "/api/sign-ins"),
    ("GET", "/api/sign-ins/abc"),
    ("DELETE", "/api/sign-ins/abc"),
    ("POST", "/api/sign-ins/abc/redirect"),
    ("POST", "/api/vault/rotate"),
    ("GET", "/api/schema"),
    ("GET", "/api/schema/openapi.json"),
    ("GET", "/api/schema/anything"),
]


TEMPLATES = {
    "/api/accounts/acme/work": "/api/accounts/{provider}/{name}",
    "/api/combos/both": "/api/combos/{name}",
    "/api/keys/laptop": "/api/keys/{key_id}",
    "/api/providers/acme": "/api/providers/{name}",
    "/api/requests/acme-1": "/api/requests/{request_id}",
    "/api/schema/anything": "/api/schema/{path}",
    "/api/sign-ins/abc": "/api/sign-ins/{sign_in_id}",
}


def template_of(path):
    """`/api/keys/{key_id}` for a path with a value in it."""
    for begins, template in TEMPLATES.items():
        if path.startswith(begins):
            return template + path.removeprefix(begins)
    return path


async def test_the_list_of_routes_here_is_complete(api):
    app = Litestar([build_management(api.gateway)], openapi_config=build_openapi(api.gateway), logging_config=None)
    served = {
        (method, route.path.replace(":str}", "}"))
        for route in app.routes
        for method in route.methods
        if method != "OPTIONS"
    }
    assert {(method, template_of(path)) for method, path in ROUTES} == served


@pytest.mark.parametrize("route", ROUTES, ids=" ".join)
async def test_nothing_but_the_management_key_reaches_management(api, route):
    method, path = route
    tries = [
        {},
        {"authorization": f"Bearer {CLIENT_KEY}"},
        {"x_api_key": CLIENT_KEY},
        {"x_api_key": api.key},
        {"x_goog_api_key": api.key},
        {"authorization": f"Basic {api.key}"},
        {"authorization": api.key},
        {"authorization": f"Bearer {api.key}x"},
        {"authorization": "Bearer"},
        {"cookie": f"key={api.key}; authorization=Bearer {api.key}; auth_token={api.key}"},
    ]
    answers = [await api.send(method, path, b"{}", content_type="application/json", **headers) for headers in tries]
    answers.append(await api.send(method, f"{path}?key={api.key}"))
    assert {answer.status for answer in answers} == {401}
    assert len({answer.body for answer in answers}) == 1  # no word tells which key would be one
    assert all(api.key.encode() not in answer.body for answer in answers)


@pytest.mark.parametrize(
    "path",
    ["//api/keys", "/api/keys/", "/api//keys", "/%61pi/keys", "/api/%6beys", "/api/./keys", "/x/../api/keys", "/api%2fkeys",
     "/API/keys", "/api/keys?x=1", "/api/keys;x", "/api/schema/../keys"],
)  # fmt: skip
async def test_no_spelling_of_a_path_gives_more_than_the_plain_one(api, path):
    assert (await api.send("GET", path)).status in {400, 401, 404}


async def test_options_says_what_is_allowed_to_those_who_may_ask(api):
    assert (await api.send("OPTIONS", "/api/keys")).status == 401
    assert (await api.send("OPTIONS", "/api/keys", authorization=f"Bearer {api.key}")).status == 204


async def test_refusals_are_never_kept_by_anybody(api):
    response = await api.send("GET", "/api/keys")
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["www-authenticate"] == "Bearer"


# --- what a body may be -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_writes_are_json_only(api, kind):
    headers = {"authorization": f"Bearer {api.key}"} | ({} if kind is None else {"content_type": kind})
    assert (await api.send("POST", "/api/keys", b'{"name":"x"}', **headers)).status == 415
    assert [key.name for key in api.gateway.keys.list()] == ["laptop"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(b'{"name":"x","scopes":["admin"]}', 400, id="a field nobody may set"),
        pytest.param(b'{"name":"x","created_s":1}', 400, id="a field of the row"),
        pytest.param(b'{"name":1}', 400, id="wrong type"),
        pytest.param(b'{"name":""}', 400, id="too short"),
        pytest.param(b'{"name":"x","expires_in_s":-1}', 400, id="out of range"),
        pytest.param(b"{}", 400, id="field missing"),
        pytest.param(b"", 400, id="no body"),
        pytest.param(b"{", 400, id="cut off"),
        pytest.param(b'{"name":"\xff"}', 400, id="not UTF-8"),
        pytest.param(b'{"name":1e999}', 400, id="a number beyond all"),
        pytest.param(b"[" * 50_000, 400, id="nested without end"),
        pytest.param(b'{"name":"' + b"x" * 100_000 + b'"}', 413, id="too long"),
    ],
)
async def test_a_bad_body_is_refused_and_changes_nothing(api, body, status):
    response = await api.send(
        "POST", "/api/keys", body, authorization=f"Bearer {api.key}", content_type="application/json"
    )
    assert response.status == status
    assert json.loads(response.body)["error"].keys() == {"code", "message", "why", "fix"}
    assert [key.name for key in api.gateway.keys.list()] == ["laptop"]


async def test_a_refusal_names_the_field(api):
    _, answer = await api.call("POST", "/api/keys", {"name": 1})
    assert "name" in answer["error"]["why"]


# --- keys -------------------------------------------------------------------------------------------------------------


async def test_a_key_is_shown_once_and_never_again(api):
    status, made = await api.call("POST", "/api/keys", {"name": "ci", "expires_in_s": 3600})
    assert status == 201
    assert api.gateway.keys.match(made["key"]).name == "ci"
    _, keys = await api.call("GET", "/api/keys")
    assert [(key["name"], key["state"], key["origin"]) for key in keys] == [
        ("laptop", "live", "settings"),
        ("ci", "live", "database"),
    ]
    assert keys[1]["expires_at_s"] - keys[1]["created_s"] == pytest.approx(3600, abs=1)
    assert made["key"] not in json.dumps(keys)
    assert CLIENT_KEY not in json.dumps(keys)


async def test_a_revoked_key_stops_working_at_once(api):
    _, made = await api.call("POST", "/api/keys", {"name": "ci"})
    assert await api.call("DELETE", f"/api/keys/{made['id']}") == (204, None)
    assert api.gateway.keys.match(made["key"]) is None
    assert (await api.call("DELETE", "/api/keys/ci"))[0] == 404


async def test_a_name_in_use_is_a_conflict_and_so_is_a_key_of_the_settings(api):
    assert (await api.call("POST", "/api/keys", {"name": "laptop"}))[0] == 409
    status, answer = await api.call("DELETE", "/api/keys/laptop")
    assert (status, answer["error"]["fix"]) == (409, "remove it there")


# --- accounts ---------------------------------------------------------------------------------------------------------


async def upstream(facts: ProviderFacts) -> Litestar:
    @get("/v1/me", media_type="text/plain", sync_to_thread=False)
    def me() -> str:
        return "-checked"

    return Litestar([me], openapi_config=None, logging_config=None)


async def test_an_account_is_signed_in_to_and_kept_without_showing_its_credential(tmp_path):
    async with running(await upstream(FACTS)) as there:
        facts = ProviderFacts(name="acme", aliases=("ac",), dialect="test", base_url=f"{there.base_url}/v1")
        async with opened(tmp_path, facts) as api:
            status, added = await api.call(
                "POST", "/api/accounts", {"provider": "ac", "name": "new", "api_key": "test-key-1", "priority": 5}
            )
            assert (status, added["id"], added["credential"]) == (201, "acme/new", True)
            assert [account.id for account in api.gateway.accounts.of("acme")] == ["acme/new", "acme/work"]
            assert api.gateway.accounts.of("acme")[0].credential == Credential(access=Secret("test-key-1-checked"))
            _, listed = await api.call("GET", "/api/accounts")
            assert "test-key-1" not in json.dumps([added, listed])
            assert "test-account-key" not in json.dumps(listed)
            assert await api.call("DELETE", "/api/accounts/ac/new") == (204, None)
            assert (await api.call("DELETE", "/api/accounts/acme/new"))[0] == 404


async def test_a_sign_in_that_cannot_reach_the_provider_adds_nothing(tmp_path):
    facts = ProviderFacts(name="acme", dialect="test", base_url="http://127.0.0.1:9/v1")
    async with opened(tmp_path, facts) as api:
        status, answer = await api.call(
            "POST", "/api/accounts", {"provider": "acme", "name": "n", "api_key": "test-key-1"}
        )
        assert (status, answer["error"]["code"]) == (502, "upstream_unreachable")
        assert [account.id for account in api.gateway.accounts.of("acme")] == ["acme/work"]


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"provider": "acne"}, 400, "closest: acme"),
        ({"provider": "free", "api_key": "test-key-1"}, 400, "takes no key"),
        ({"provider": "acme", "name": "a b", "api_key": "test-key-1"}, 502, "cannot be reached"),
        ({"provider": "free", "base_url": "http://169.254.169.254/v1"}, 400, "base URL"),
        ({"provider": "free", "priority": 101}, 400, "Validation failed"),
    ],
)
async def test_what_is_no_account_is_refused(tmp_path, body, status, says):
    facts = ProviderFacts(name="acme", dialect="test", base_url="http://127.0.0.1:9/v1")
    async with opened(tmp_path, facts) as api:
        found, answer = await api.call("POST", "/api/accounts", body)
        assert found == status
        assert says in answer["error"]["message"]
        assert "test-key-1" not in json.dumps(answer)


async def test_a_keyless_account_needs_no_key(api):
    status, added = await api.call(
        "POST", "/api/accounts", {"provider": "free", "base_url": "http://127.0.0.1:8000/v1/"}
    )
    assert (status, added["credential"], added["base_url"]) == (201, False, "http://127.0.0.1:8000/v1")


async def test_an_account_of_the_settings_is_removed_there(api):
    status, answer = await api.call("DELETE", "/api/accounts/acme/work")
    assert (status, answer["error"]["code"]) == (409, "conflict")


# --- looking ----------------------------------------------------------------------------------------------------------


async def test_status_says_how_it_is(api):
    _, status = await api.call("GET", "/api/status")
    assert status["problem"] == "no authenticator is loaded: every call would be refused"
    assert {name: status[name] for name in ("ready", "accounts", "keys", "providers")} == {
        "ready": False, "accounts": 2, "keys": 1, "providers": 2,
    }  # fmt: skip


async def test_the_settings_are_shown_with_their_origin_and_without_their_secrets(api):
    _, rows = await api.call("GET", "/api/config")
    by_key = {row["key"]: row for row in rows}
    assert by_key["server.port"] == {"key": "server.port", "value": 20128, "origin": "default"}
    assert by_key["auth.keys[0].key"]["value"] == "***"
    assert CLIENT_KEY not in json.dumps(rows)
    assert "test-account-key" not in json.dumps(rows)


async def test_providers_are_listed_with_what_they_go_by(api):
    _, providers = await api.call("GET", "/api/providers")
    assert [(one["name"], one["aliases"], one["accounts"]) for one in providers] == [
        ("acme", ["ac"], 1),
        ("free", [], 1),
    ]


async def test_the_description_names_every_route(api):
    _, schema = await api.call("GET", "/api/schema")
    described = {(method.upper(), path) for path, item in schema["paths"].items() for method in item}
    assert {(method, template_of(path)) for method, path in ROUTES if "schema" not in path} <= described
    assert schema["components"]["schemas"]["CreateKey"]["required"] == ["name"]


# --- declarations -----------------------------------------------------------------------------------------------------


def test_a_handler_that_does_not_say_who_may_call_it_stops_the_start():
    @get("/plugin/data", sync_to_thread=False)
    def forgotten() -> None: ...

    @asgi("/plugin/raw", opt={"access": "everybody"}, copy_scope=False)
    async def misspelt(scope: dict, receive: object, send: object) -> None: ...

    app = Litestar([forgotten, misspelt], openapi_config=None)
    with pytest.raises(InternalError) as caught:
        check_declared(app)
    assert "/plugin/data" in caught.value.why
    assert "/plugin/raw" in caught.value.why


@pytest.mark.parametrize("access", ["public", "client", "management"])
def test_a_handler_may_say_so_itself_or_through_its_router(access):
    @get("/own", opt=declare(access), sync_to_thread=False)
    def own() -> None: ...

    @get("/routers", sync_to_thread=False)
    def routers() -> None: ...

    check_declared(Litestar([own, Router("/x", route_handlers=[routers], opt=declare(access))], openapi_config=None))


async def test_an_undeclared_handler_on_a_management_router_is_still_closed(api):
    router = build_management(api.gateway)

    @get("/forgotten", sync_to_thread=False)
    def forgotten() -> dict[str, str]:
        return {}

    router.register(forgotten)
    async with running(Litestar([router], openapi_config=None, logging_config=None)) as server:
        client = ControlClient()
        answer = await client.send(HttpRequest(method="GET", url=f"{server.base_url}/api/forgotten"))
        await client.close()
    assert answer.status == 401
