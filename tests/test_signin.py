"""Signing in: every way there is, from the first click to the account that is there, and everything that must not work."""

import asyncio
import base64
import contextlib
import hashlib
import re
import socket
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

import omniroute_auth_oauth
from omniroute import settings
from omniroute.api import (
    CredentialPlace,
    ExchangeFacts,
    FactsProvider,
    HttpRequest,
    OAuthFacts,
    ProviderFacts,
    UserinfoFacts,
    hookimpl,
)
from omniroute.contracts import OpenRedirect
from omniroute.credentials.driver import Driver
from omniroute.credentials.redirects import Listener, read_pasted
from omniroute.errors import Conflict, InvalidRequest, NotFound
from omniroute.gateway import Gateway
from omniroute.management.account_values import AddAccount, BeginSignIn, Paste, RenameAccount
from omniroute.management.service import Management
from omniroute.testing import FakeAuthorization, FakeClock, Reply

STATE = "s" * 43
CODE = OAuthFacts(
    client_id="public-client",
    authorize_url="https://vendor.example/authorize",
    token_url="https://vendor.example/token",
    scopes=("a", "b"),
)
DEVICE = OAuthFacts(
    client_id="public-client",
    device_url="https://vendor.example/device",
    token_url="https://vendor.example/token",
    scopes=("read",),
)


def changed(facts, **changes):
    return msgspec.structs.replace(facts, **changes)


WAYS = {
    "the plain way": ("oauth", CODE),
    "a JSON body with the state, and a page that shows the code": (
        "oauth",
        changed(
            CODE,
            encoding="json",
            sends_state=True,
            paste_url="https://vendor.example/code",
            authorize_params={"code": "true"},
            userinfo=UserinfoFacts(url="https://vendor.example/me", fields={"email": ("account", "email")}),
        ),
    ),
    "another path, and who it is in the id token": (
        "oauth",
        changed(
            CODE,
            redirect_path="/auth/callback",
            refresh_params={"scope": "a b"},
            claims={"account_id": ("https://vendor.example/auth", "account_id"), "email": ("email",)},
        ),
    ),
    "a client secret, no PKCE, tokens that do not rotate": (
        "oauth",
        changed(CODE, pkce=False, needs_client_secret=True, rotates=False, authorize_params={"prompt": "consent"}),
    ),
    "HTTP Basic, odd parameters, and a key that is bought with the token": (
        "oauth",
        changed(
            CODE,
            pkce=False,
            needs_client_secret=True,
            client_auth="both",
            redirect_parameter="redirect",
            authorize_params={"response_type": None, "type": "phone"},
            exchange=ExchangeFacts(
                url="https://vendor.example/info", query_parameter="accessToken", token=("data", "apiKey")
            ),
        ),
    ),
    "a device code with PKCE": ("oauth-device", changed(DEVICE, token_fields={"resource_url": ("resource_url",)})),
    "a device code, and short-lived tokens that are bought": (
        "oauth-device",
        changed(
            DEVICE,
            pkce=False,
            userinfo=UserinfoFacts(
                url="https://api.vendor.example/user",
                place=CredentialPlace(prefix="token "),
                fields={"login": ("login",)},
            ),
            exchange=ExchangeFacts(
                url="https://api.vendor.example/v2/token",
                place=CredentialPlace(prefix="token "),
                expires_at=("expires_at",),
            ),
        ),
    ),
}
ALL_WAYS = pytest.mark.parametrize(("scheme", "oauth"), WAYS.values(), ids=WAYS)


def facts_of(oauth=CODE, scheme="oauth", **more):
    return ProviderFacts(
        name="acme",
        dialect="test",
        base_url="https://api.acme.example/v1",
        auth=scheme,
        auth_also=("imported-token",),
        oauth=oauth,
        tier="subscription",
        terms_url="https://vendor.example/terms",
        own_clients=("acme-cli/",),
        **more,
    )


class Dialect:
    dialect = "test"
    framing = "sse"
    ingress = ()


class Plugin:
    def __init__(self, *facts):
        self.facts = facts

    @hookimpl
    def register_translators(self):
        return [Dialect()]

    @hookimpl
    def register_providers(self):
        return [FactsProvider(facts) for facts in self.facts]


@contextlib.asynccontextmanager
async def opened(directory, vendor, *, clock=None, **overrides):
    """A gateway without a server, as a command has it, and what manages it."""
    loaded = settings.load(
        data_dir=directory / "data", environ={}, cwd=directory, config_dir=directory,
        overrides={"plugins.only": [], **overrides},
    )  # fmt: skip
    given = {"acme": Plugin(vendor.facts), "auth-oauth": omniroute_auth_oauth}
    gateway = await Gateway.open(loaded, given=given, serving=False)
    if clock is not None:
        gateway.driver = Driver(gateway.control.send, clock=clock.wall, sleep=clock.sleep)
    try:
        yield Management(gateway)
    finally:
        await gateway.close()


async def shown(manager, view):
    """Wait until there is something for the person, or it is over."""
    async with asyncio.timeout(10):
        while view.state == "working":
            view = await manager.sign_in(view.id, after=view.changed, wait_s=5)
    return view


async def ended(manager, view):
    async with asyncio.timeout(10):
        while view.state in {"working", "waiting"}:
            view = await manager.sign_in(view.id, after=view.changed, wait_s=5)
    return view


async def visit(manager, url, **headers):
    """As the browser does that the vendor sent back."""
    return await manager._gateway.control.send(HttpRequest(method="GET", url=url, headers=headers))


async def by_itself(manager, vendor, view):
    """The person's part, whichever way it is."""
    if view.code is not None:
        vendor.approve(view.code)
    else:
        answer = await visit(manager, vendor.redirect(view.url))
        assert answer.status == 200
        assert b"signed in" in answer.body
    return await ended(manager, view)


# --- the ways in


@ALL_WAYS
async def test_a_sign_in_ends_with_an_account_that_can_be_renewed(tmp_path, scheme, oauth):
    clock = FakeClock()
    async with FakeAuthorization(facts_of(oauth, scheme)) as vendor, opened(tmp_path, vendor, clock=clock) as manager:
        view = await shown(manager, await manager.begin_sign_in(BeginSignIn(provider="acme", name="work")))
        assert view.state == "waiting"
        finishing = asyncio.create_task(by_itself(manager, vendor, view))
        if view.code is not None:
            await clock.sleepers(1)
            clock.advance(5)
        view = await finishing
        assert view.error is None
        assert view.account.id == "acme/work"
        before = manager._gateway.accounts.get("acme/work")
        assert vendor.accepts_token(before.credential.access.reveal())
        await manager.refresh_account("acme", "work")
        after = manager._gateway.accounts.get("acme/work")
        assert after.credential.access != before.credential.access
        assert vendor.accepts_token(after.credential.access.reveal())
        told = {"email", "account_id", "login", "resource_url"} & after.credential.metadata.keys()
        expected = {*oauth.claims, *oauth.token_fields, *(oauth.userinfo.fields if oauth.userinfo else ())}
        assert told == expected
    assert not any(b"fake-" in row for row in (tmp_path / "data" / "omniroute.db").read_bytes().split(b"\0"))


@pytest.mark.parametrize("form", ["the whole URL", "127.0.0.1 for localhost", "the query", "the code", "code#state"])
async def test_where_no_browser_can_come_back_the_person_pastes(tmp_path, form):
    async with FakeAuthorization(facts_of()) as vendor, opened(tmp_path, vendor) as manager:
        view = await shown(manager, await manager.begin_sign_in(BeginSignIn(provider="acme", paste=True)))
        assert not view.is_listening
        url = vendor.redirect(view.url)
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        text = {
            "the whole URL": f"  {url}\n",
            "127.0.0.1 for localhost": url.replace("localhost", "127.0.0.1"),
            "the query": urlsplit(url).query,
            "the code": query["code"],
            "code#state": f"{query['code']}#{query['state']}",
        }[form]
        await manager.paste_redirect(view.id, Paste(text=text))
        view = await ended(manager, view)
        assert view.account.id == "acme/default"


async def test_a_page_of_the_vendor_that_shows_the_code_is_used_where_it_has_one(tmp_path):
    oauth = changed(CODE, paste_url="https://vendor.example/code")
    async with FakeAuthorization(facts_of(oauth)) as vendor, opened(tmp_path, vendor) as manager:
        view = await shown(manager, await manager.begin_sign_in(BeginSignIn(provider="acme", paste=True)))
        assert view.redirect_uri == "https://vendor.example/code"
        await manager.paste_redirect(view.id, Paste(text=vendor.redirect(view.url)))
        assert (await ended(manager, view)).state == "done"


async def test_a_redirect_of_ones_own_client_is_always_pasted(tmp_path):
    own = {"oauth_client_id": "my-client", "oauth_redirect_url": "https://gateway.example/callback"}
    oauth = changed(CODE, client_id="my-client")
    async with FakeAuthorization(facts_of(oauth)) as vendor:
        theirs = changed(vendor.facts, oauth=changed(vendor.facts.oauth, client_id="public-client"))
        loaded = settings.load(
            data_dir=tmp_path / "data", environ={}, cwd=tmp_path, config_dir=tmp_path,
            overrides={"plugins.only": [], "providers": {"acme": own}},
        )  # fmt: skip
        given = {"acme": Plugin(theirs), "auth-oauth": omniroute_auth_oauth}
        gateway = await Gateway.open(loaded, given=given, serving=False)
        manager = Management(gateway)
        view = await shown(manager, await manager.begin_sign_in(BeginSignIn(provider="acme")))
        assert view.redirect_uri == "https://gateway.example/callback"
        assert not view.is_listening
        await manager.paste_redirect(view.id, Paste(text=vendor.redirect(view.url)))
        assert (await ended(manager, view)).state == "done"
        await gateway.close()


async def test_a_fixed_port_that_is_taken_leaves_pasting_and_says_so(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        oauth = changed(CODE, redirect_ports=(port,), redirect_path="/auth/callback")
        async with FakeAuthorization(facts_of(oauth)) as vendor, opened(tmp_path, vendor) as manager:
            view = await shown(manager, await manager.begin_sign_in(BeginSignIn(provider="acme")))
            assert f"The port {port} is taken" in view.note
            assert view.redirect_uri == f"http://localhost:{port}/auth/callback"
            await manager.paste_redirect(view.id, Paste(text=vendor.redirect(view.url)))
            assert (await ended(manager, view)).state == "done"


async def test_the_second_of_two_fixed_ports_is_used_when_the_first_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as free:
        first, second = taken.getsockname()[1], free.getsockname()[1]
        free.close()
        listener = await Listener.open(OpenRedirect(ports=(first, second)))
        assert listener.uri == f"http://localhost:{second}/callback"
        await listener.close()


async def test_a_token_that_was_given_is_imported(tmp_path):
    async with FakeAuthorization(facts_of()) as vendor, opened(tmp_path, vendor) as manager:
        token = vendor.issue()
        view = await manager.add_account(AddAccount(provider="acme", api_key=token, other_clients=True))
        assert (view.id, view.other_clients) == ("acme/default", True)
        assert manager._gateway.accounts.get("acme/default").credential.access.reveal() == token


# --- what a person must not be made to do (S-40, S-42)


async def test_pkce_is_s256_and_the_state_has_256_bits(tmp_path):
    async with FakeAuthorization(facts_of()) as vendor, opened(tmp_path, vendor) as manager:
        views = [
            await shown(manager, await manager.begin_sign_in(BeginSignIn(provider="acme", name=name)))
            for name in ("a", "b")
        ]
        first, second = ({n: v[0] for n, v in parse_qs(urlsplit(view.url).query).items()} for view in views)
        assert first["code_challenge_method"] == "S256"
        assert len(base64.urlsafe_b64decode(first["state"] + "=")) == 32
        assert len(base64.urlsafe_b64decode(first["code_challenge"] + "=")) == hashlib.sha256().digest_size
        assert first["state"] != second["state"]
        assert first["code_challenge"] != second["code_challenge"]


PASTES = [
    pytest.param("http://localhost:{port}/callback?code=x&state=" + "a" * 43, "another sign-in", id="another state"),
    pytest.param("http://localhost:{port}/callback?code=x", "another sign-in", id="no state"),
    pytest.param("https://evil.example/callback?code=x&state={state}", "another address", id="another host"),
    pytest.param("http://localhost:1/callback?code=x&state={state}", "another address", id="another port"),
    pytest.param("http://localhost:{port}/other?code=x&state={state}", "another address", id="another path"),
    pytest.param("https://localhost:{port}/callback?code=x&state={state}", "another address", id="another scheme"),
    pytest.param("http://a@localhost:{port}/callback?code=x&state={state}", "another address", id="a user in it"),
    pytest.param("http://localhost:{port}/callback?state={state}", "has no code", id="no code"),
    pytest.param("http://[::1/callback?code=x&state={state}", "another address", id="no URL at all"),
    pytest.param("code=x&state=" + "b" * 43, "another sign-in", id="a query with another state"),
    pytest.param("x#" + "c" * 43, "another sign-in", id="a code with another state"),
    pytest.param("two words", "neither a URL nor a code", id="two words"),
    pytest.param("", "neither a URL nor a code", id="nothing"),
    pytest.param("x" * 20_000, "neither a URL nor a code", id="far too much"),
]


@pytest.mark.parametrize(("text", "why"), PASTES)
def test_what_does_not_belong_to_this_sign_in_is_not_taken(text, why):
    text = text.replace("{port}", "4711").replace("{state}", STATE)
    with pytest.raises(InvalidRequest) as raised:
        read_pasted(text, "http://localhost:4711/callback", STATE)
    assert why in raised.value.why
    assert "x" * 3 not in raised.value.text, "what was pasted is not repeated"


async def test_a_wrong_paste_is_refused_and_the_sign_in_goes_on(tmp_path):
    async with FakeAuthorization(facts_of()) as vendor, opened(tmp_path, vendor) as manager:
        view = await shown(manager, await manager.begin_sign_in(BeginSignIn(provider="acme", paste=True)))
        with pytest.raises(InvalidRequest, match="not the redirect of this sign-in"):
            await manager.paste_redirect(view.id, Paste(text="https://evil.example/?code=x&state=y"))
        assert vendor.upstream.requests == [], "no token was asked for"
        await manager.paste_redirect(view.id, Paste(text=vendor.redirect(view.url)))
        assert (await ended(manager, view)).state == "done"
        with pytest.raises(InvalidRequest, match="waits for nothing"):
            await manager.paste_redirect(view.id, Paste(text="again"))


async def test_a_redirect_of_one_sign_in_does_nothing_for_another(tmp_path):
    async with FakeAuthorization(facts_of()) as vendor, opened(tmp_path, vendor) as manager:
        first, second = [
            await shown(manager, await manager.begin_sign_in(BeginSignIn(provider="acme", name=name)))
            for name in ("a", "b")
        ]
        url = vendor.redirect(first.url)
        swapped = url.replace(urlsplit(first.redirect_uri).netloc, urlsplit(second.redirect_uri).netloc)
        assert (await visit(manager, swapped)).status == 400
        with pytest.raises(InvalidRequest):
            await manager.paste_redirect(second.id, Paste(text=url))
        assert vendor.upstream.requests == []
        assert (await visit(manager, url)).status == 200
        assert (await ended(manager, first)).state == "done"
        assert (await manager.sign_in(second.id)).state == "waiting"


async def test_an_issuer_that_is_named_must_be_the_one_of_the_facts(tmp_path):
    oauth = changed(CODE, issuer="https://vendor.example")
    async with FakeAuthorization(facts_of(oauth)) as vendor, opened(tmp_path, vendor) as manager:
        view = await shown(manager, await manager.begin_sign_in(BeginSignIn(provider="acme")))
        await visit(manager, vendor.redirect(view.url) + "&iss=https%3A%2F%2Fevil.example")
        assert (await ended(manager, view)).error["message"] == "the redirect is from another issuer"
        assert vendor.upstream.requests == []


async def test_a_person_who_refuses_is_told_so_and_nothing_is_stored(tmp_path):
    async with FakeAuthorization(facts_of()) as vendor, opened(tmp_path, vendor) as manager:
        view = await shown(manager, await manager.begin_sign_in(BeginSignIn(provider="acme")))
        answer = await visit(manager, vendor.redirect(view.url, deny=True))
        assert b"not signed in" in answer.body
        view = await ended(manager, view)
        assert "refused in the browser" in view.error["message"]
        assert await manager.accounts() == []


# --- the listener (S-41)


async def ask_listener(port, head):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.replace("\n", "\r\n").encode())
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    return answer.decode()


@pytest.fixture
async def listener():
    listener = await Listener.open(OpenRedirect(path="/callback"))
    yield listener
    await listener.close()


GOOD = f"GET /callback?code=c&state={STATE} HTTP/1.1\nHost: localhost:PORT\n\n"
REFUSED = [
    pytest.param(GOOD.replace("localhost", "evil.example"), "421", id="another Host"),
    pytest.param(GOOD.replace("localhost:PORT", "localhost"), "421", id="a Host without the port"),
    pytest.param(GOOD.replace("Host: localhost:PORT\n", ""), "421", id="no Host"),
    pytest.param(GOOD.replace("\n\n", "\nHost: evil.example\n\n"), "421", id="two Hosts"),
    pytest.param(GOOD.replace("GET", "POST"), "405", id="another method"),
    pytest.param(GOOD.replace("/callback", "/callback/x"), "404", id="another path"),
    pytest.param(GOOD.replace(STATE, "t" * 43), "400", id="another state"),
    pytest.param(GOOD.replace(f"&state={STATE}", ""), "400", id="no state"),
]


@pytest.mark.parametrize(("head", "status"), REFUSED)
async def test_the_listener_refuses_what_is_not_the_redirect_and_goes_on_waiting(listener, head, status):
    port = urlsplit(listener.uri).port
    found = listener.expect(STATE)
    assert f" {status} " in (await ask_listener(port, head.replace("PORT", str(port)))).split("\r\n")[0]
    assert not found.done()
    assert " 200 " in await ask_listener(port, GOOD.replace("PORT", str(port)))
    assert await found == {"code": "c", "state": STATE}


async def test_the_listener_takes_one_redirect_and_is_gone(listener):
    port = urlsplit(listener.uri).port
    listener.expect(STATE)
    page = await ask_listener(port, GOOD.replace("PORT", str(port)))
    assert "code" not in page.partition("\r\n\r\n")[2].replace("<code>", ""), "the page shows no code"
    assert "cache-control: no-store" in page
    with pytest.raises(OSError):
        await ask_listener(port, GOOD.replace("PORT", str(port)))


async def test_the_listener_is_reached_on_this_machine_only(listener):
    addresses = [each.getsockname()[0] for each in listener._server.sockets]
    assert addresses == ["127.0.0.1"]


async def test_the_listener_takes_nothing_before_the_state_is_known(listener):
    port = urlsplit(listener.uri).port
    assert " 400 " in await ask_listener(port, GOOD.replace("PORT", str(port)))


async def test_a_sign_in_that_ends_closes_its_listener(tmp_path):
    async with FakeAuthorization(facts_of()) as vendor, opened(tmp_path, vendor) as manager:
        view = await shown(manager, await manager.begin_sign_in(BeginSignIn(provider="acme")))
        await manager.stop_sign_in(view.id)
        view = await manager.sign_in(view.id)
        assert (view.state, view.error["message"]) == ("failed", "the sign-in was called off")
        with pytest.raises(OSError):
            await ask_listener(urlsplit(view.redirect_uri).port, GOOD)


# --- device codes (S-43)


async def test_a_device_code_is_polled_for_as_slowly_as_the_vendor_wants(tmp_path):
    clock = FakeClock()
    facts = facts_of(DEVICE, "oauth-device")
    async with FakeAuthorization(facts) as vendor, opened(tmp_path, vendor, clock=clock) as manager:
        vendor.device_polls.extend(["authorization_pending", "slow_down", "slow_down"])
        view = await shown(manager, await manager.begin_sign_in(BeginSignIn(provider="acme")))
        assert re.fullmatch("CODE-[0-9]{4}", view.code)
        assert view.expires_in_s == 900
        vendor.approve(view.code)
        for poll, interval_s in enumerate((5, 5, 10, 15), start=1):
            await clock.sleepers(1)
            clock.advance(interval_s - 0.5)
            assert len(vendor.upstream.requests) == poll
            clock.advance(0.5)
            await vendor.upstream.received(poll + 1)
        assert (await ended(manager, view)).state == "done"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        pytest.param("access_denied", "refused in the browser", id="denied"),
        pytest.param("expired_token", "the code has expired", id="expired, says the vendor"),
        pytest.param("invalid_client", "answered 400 (invalid_client)", id="something else"),
    ],
)
async def test_a_device_code_that_comes_to_nothing_says_why(tmp_path, error, message):
    clock = FakeClock()
    facts = facts_of(DEVICE, "oauth-device")
    async with FakeAuthorization(facts) as vendor, opened(tmp_path, vendor, clock=clock) as manager:
        vendor.device_polls.append(error)
        view = await shown(manager, await manager.begin_sign_in(BeginSignIn(provider="acme")))
        await clock.sleepers(1)
        clock.advance(5)
        assert message in (await ended(manager, view)).error["message"]
        assert await manager.accounts() == []


async def test_a_device_code_nobody_typed_expires(tmp_path):
    clock = FakeClock()
    facts = facts_of(DEVICE, "oauth-device")
    async with FakeAuthorization(facts) as vendor, opened(tmp_path, vendor, clock=clock) as manager:
        view = await shown(manager, await manager.begin_sign_in(BeginSignIn(provider="acme")))
        await clock.sleepers(1)
        clock.advance(900)
        assert "expired" in (await ended(manager, view)).error["message"]


# --- what comes of it (S-44)


async def signed_in(manager, vendor, **more):
    view = await shown(manager, await manager.begin_sign_in(BeginSignIn(provider="acme", **more)))
    return await by_itself(manager, vendor, view)


async def test_signing_in_again_keeps_settings_and_refuses_another_persons_tokens_unless_that_is_meant(tmp_path):
    oauth = changed(CODE, claims={"account_id": ("account_id",)})
    async with FakeAuthorization(facts_of(oauth)) as vendor, opened(tmp_path, vendor) as manager:
        view = await signed_in(manager, vendor, priority=7)
        assert view.account.identity.startswith("account_id account_id-")
        before = manager._gateway.accounts.get("acme/default").credential
        other = await signed_in(manager, vendor, again=True)  # the vendor makes up somebody new each time
        assert other.error["code"] == "conflict"
        assert "and you signed in as account_id" in other.error["message"]
        assert manager._gateway.accounts.get("acme/default").credential == before
        meant = await signed_in(manager, vendor, again=True, replace=True)
        assert meant.account.priority == 7
        assert manager._gateway.accounts.get("acme/default").credential != before


async def test_an_account_that_exists_is_not_signed_in_to_by_accident(tmp_path):
    async with FakeAuthorization(facts_of()) as vendor, opened(tmp_path, vendor) as manager:
        await signed_in(manager, vendor)
        with pytest.raises(Conflict, match="exists already") as raised:
            await manager.begin_sign_in(BeginSignIn(provider="acme"))
        assert "omniroute account login acme/default" in raised.value.fix
        with pytest.raises(NotFound):
            await manager.begin_sign_in(BeginSignIn(provider="acme", name="nobody", again=True))


async def test_a_vendor_that_refuses_the_code_leaves_no_account(tmp_path):
    async with FakeAuthorization(facts_of()) as vendor, opened(tmp_path, vendor) as manager:
        vendor.refuse("invalid_grant")
        view = await signed_in(manager, vendor)
        assert (view.state, view.error["code"]) == ("failed", "sign_in_required")
        assert await manager.accounts() == []


async def test_a_client_secret_is_asked_for_by_name_and_taken_from_the_environment(tmp_path, monkeypatch):
    oauth = changed(CODE, needs_client_secret=True, client_secret_env=("ACME_CLIENT_SECRET",))
    async with FakeAuthorization(facts_of(oauth)) as vendor:
        bare = changed(vendor.facts, oauth=changed(vendor.facts.oauth, client_secret=None))
        loaded = settings.load(
            data_dir=tmp_path / "data", environ={}, cwd=tmp_path, config_dir=tmp_path, overrides={"plugins.only": []}
        )
        given = {"acme": Plugin(bare), "auth-oauth": omniroute_auth_oauth}
        gateway = await Gateway.open(loaded, given=given, serving=False)
        manager = Management(gateway)
        view = await ended(manager, await manager.begin_sign_in(BeginSignIn(provider="acme")))
        assert "[providers.acme] oauth_client_secret or ACME_CLIENT_SECRET" in view.error["fix"]
        monkeypatch.setenv("ACME_CLIENT_SECRET", "fake-client-secret")
        view = await signed_in(manager, vendor)
        assert view.state == "done"
        await gateway.close()


async def test_an_account_moves_with_its_name(tmp_path):
    async with FakeAuthorization(facts_of()) as vendor, opened(tmp_path, vendor) as manager:
        await signed_in(manager, vendor)
        view = await manager.rename_account("acme", "default", RenameAccount(name="work"))
        assert view.id == "acme/work"
        assert [each.id for each in await manager.accounts()] == ["acme/work"]
        assert (await manager.refresh_account("acme", "work")).state == "usable"


async def test_a_vendor_that_cannot_be_reached_fails_the_sign_in_readably(tmp_path):
    async with FakeAuthorization(facts_of()) as vendor, opened(tmp_path, vendor) as manager:
        vendor.queue(Reply(503))
        view = await signed_in(manager, vendor)
        assert view.error["message"] == "the token endpoint answered 503"
