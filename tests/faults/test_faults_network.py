"""Names that do not resolve, certificates that do not hold, plugins that break, storms, clocks that jump, dead connections.

F07, F18, F19, F22, F30 and C6.
"""

import asyncio
import datetime
import functools
import gc
import ipaddress
import itertools
import socket
import ssl
import sys
import time

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from structlog.testing import capture_logs

from omniroute import gateway as gateway_module
from omniroute.api import FactsProvider, ModelFacts, ProviderFacts, hookimpl
from omniroute.health import Health
from omniroute.testing import FakeClock, FakeUpstream, Hang, Reply
from omniroute.transport import LeanTransport
from omniroute.transport import aiohttp as aiohttp_module
from omniroute.transport.aiohttp import AiohttpTransport
from tests.faults.conftest import CHAT, codes, good, pair, provider, shown_error

STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)
TRANSPORTS = {"aiohttp": AiohttpTransport, "lean": LeanTransport}


# --- F19: certificates ------------------------------------------------------------------------------------------------


def certificate(name, key, issuer, issuer_key, *, hosts=(), until=DAY, is_ca=False):
    builder = (
        x509.CertificateBuilder()
        .subject_name(called(name))
        .issuer_name(called(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - 3 * DAY)
        .not_valid_after(NOW + until)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    )
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def called(name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def pem(thing):
    if isinstance(thing, x509.Certificate):
        return thing.public_bytes(serialization.Encoding.PEM)
    plain = serialization.NoEncryption()
    return thing.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)


class Authority:
    """One that the gateway's transports trust, and a server's context for each fault."""

    HERE = (x509.IPAddress(ipaddress.ip_address("127.0.0.1")),)

    def __init__(self, directory):
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        own = certificate("test authority", self._key, "test authority", self._key, is_ca=True)
        self.trusting = ssl.create_default_context(cadata=pem(own).decode())

    def server(self, kind):
        key = ec.generate_private_key(ec.SECP256R1())
        issued = functools.partial(certificate, "here", key, "test authority", self._key)
        made = {
            "good": lambda: issued(hosts=self.HERE),
            "expired": lambda: issued(hosts=self.HERE, until=-DAY),
            "wrong host": lambda: issued(hosts=(x509.DNSName("elsewhere.example"),)),
            "self-signed": lambda: certificate("here", key, "here", key, hosts=self.HERE),
            "unknown authority": lambda: certificate("here", key, "nobody", ec.generate_private_key(ec.SECP256R1())),
        }[kind]()
        path = self._directory / f"{kind}.pem"
        path.write_bytes(pem(made) + pem(key))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


class Trusting:
    """Both transports, with the test's authority as the only one they know."""

    def __init__(self, context):
        self._context = context

    @hookimpl
    def register_transports(self, settings):
        made = [kind(tls=self._context) for kind in TRANSPORTS.values()]
        for one in made:
            one.name = f"trusting-{one.name}"
        return made


CERTIFICATES = {
    "expired": "tls_certificate_expired",
    "wrong host": "tls_wrong_host",
    "self-signed": "tls_untrusted",
    "unknown authority": "tls_untrusted",
}


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("kind", CERTIFICATES)
async def test_f19_a_certificate_that_does_not_hold_is_named_and_nothing_is_sent(start, tmp_path, kind, transport):
    authority = Authority(tmp_path)
    received = []

    async def serve(reader, writer):
        received.append(await reader.read())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=authority.server(kind))
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    settings = f'[server]\ntransport = "trusting-{transport}"\n'
    given = {"trusting": Trusting(authority.trusting)}
    async with server, FakeUpstream(answer=good) as second, start(settings + pair(url, second), given=given) as world:
        answer = await world.ask("pair")
        assert (answer.status_code, answer.headers["x-omniroute-provider"]) == (200, "second")
        assert codes(await world.record(answer)) == [CERTIFICATES[kind], None]
        alone = await world.ask("first/m")
        assert (alone.status_code, alone.json()["error"]["code"]) == (502, CERTIFICATES[kind])
        assert "certificate" in alone.json()["error"]["message"]
    assert received == []


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_f19_a_certificate_that_holds_is_served(start, tmp_path, transport):
    """So that the refusals above are not those of any TLS at all."""
    authority = Authority(tmp_path)

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        body = Reply.json(CHAT).body
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n" + body)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=authority.server("good"))
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    settings = f'[server]\ntransport = "trusting-{transport}"\n' + provider("p", url)
    async with server, start(settings, given={"trusting": Trusting(authority.trusting)}) as world:
        assert (await world.ask("p/m")).json() == CHAT


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("fault", ["no TLS", "a handshake that hangs"])
async def test_f19_a_handshake_that_fails_or_hangs_goes_elsewhere(start, fault, transport):
    settings = f'[server]\ntransport = "{transport}"\n[timeouts]\nconnect_s = 0.3\nfailover_connect_s = 0.1\n'
    held = []

    async def serve(reader, writer):
        held.append(writer)
        await reader.read(65536)
        if fault == "no TLS":
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    async with server, FakeUpstream(answer=good) as second, start(settings + pair(url, second)) as world:
        answer = await world.ask("pair")
        wanted = "tls_handshake_failed" if fault == "no TLS" else "upstream_unreachable"
        assert codes(await world.record(answer)) == [wanted, None]
        alone = await world.ask("first/m")
        assert (alone.status_code, alone.json()["error"]["code"]) == (502, wanted)
    for writer in held:
        writer.close()


# --- F18: names -------------------------------------------------------------------------------------------------------


@STREAMED
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("fault", ["unknown", "no answer", "slow"])
async def test_f18_a_name_that_does_not_resolve_goes_elsewhere(start, monkeypatch, transport, fault, stream):
    settings = f'[server]\ntransport = "{transport}"\n[timeouts]\nconnect_s = 0.3\nfailover_connect_s = 0.1\n'
    resolve = asyncio.get_running_loop().getaddrinfo

    async def getaddrinfo(host, *rest, **more):
        if host != "upstream.example":
            return await resolve(host, *rest, **more)
        if fault == "slow":
            await asyncio.Event().wait()
        number = socket.EAI_NONAME if fault == "unknown" else socket.EAI_AGAIN
        raise socket.gaierror(number, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    async with (
        FakeUpstream(answer=good) as second,
        start(settings + pair("http://upstream.example/v1", second)) as world,
    ):
        began = time.perf_counter()
        answer = await world.ask("pair", stream=stream)
        assert time.perf_counter() - began < 1
        assert codes(await world.record(answer)) == ["upstream_unreachable", None]
        alone = await world.ask("first/m", stream=stream)
        assert (alone.status_code, alone.json()["error"]["code"]) == (502, "upstream_unreachable")


# --- F22: a storm -----------------------------------------------------------------------------------------------------


async def test_f22_a_storm_of_5xx_opens_the_breaker_and_is_over_soon_after_it_heals(start, monkeypatch):
    """Simulated time: 60 s at 20 requests a second, all 500, then it heals."""
    clock = FakeClock()
    monkeypatch.setattr(gateway_module, "Health", functools.partial(Health, clock=clock.monotonic, draw=lambda: 0.5))
    healed = []

    def answer(request):
        return good(request) if healed else Reply.json({"error": {"message": "storm"}}, 500)

    async with (
        FakeUpstream(answer=answer) as first,
        FakeUpstream(answer=good) as second,
        start(pair(first, second)) as world,
    ):
        seen = []
        for _ in range(60):
            for _ in range(20):
                assert (await world.ask("pair")).status_code == 200
                clock.advance(0.05)
            seen.append(len(first.requests))
        assert seen[4] <= 1.2 * 100
        assert seen[4] <= 10  # the breaker opens at five in a row
        assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(seen[1:]))
        healed.append(True)
        waited_s = 0
        while (await world.ask("pair")).headers["x-omniroute-provider"] != "first":
            clock.advance(5)
            waited_s += 5
        assert waited_s <= 35
        assert [(await world.ask("pair")).headers["x-omniroute-provider"] for _ in range(5)] == ["first"] * 5


# --- F30: plugins -----------------------------------------------------------------------------------------------------


class Broken(FactsProvider):
    """A provider whose code breaks where it is told to."""

    def __init__(self, where, base_url):
        facts = ProviderFacts(
            name="broken", dialect="openai-chat", base_url=base_url, auth="none", models=(ModelFacts(id="m"),)
        )
        super().__init__(facts)
        self.where = where

    def adapts(self, model):
        return True

    def adapt(self, request, model):
        if self.where == "adapt":
            raise ZeroDivisionError("adapt")
        return "nonsense" if self.where == "adapt, nonsense" else request

    def prepare(self, call):
        if self.where == "prepare":
            raise KeyError("secret-in-a-plugin")
        return None if self.where == "prepare, nonsense" else super().prepare(call)

    def classify(self, response):
        if self.where == "classify":
            raise RuntimeError("classify")
        return 17 if self.where == "classify, nonsense" else super().classify(response)


class BrokenPlugin:
    def __init__(self, *providers):
        self._providers = providers

    @hookimpl
    def register_providers(self):
        return list(self._providers)


BREAKS = ["adapt", "adapt, nonsense", "prepare", "prepare, nonsense", "classify", "classify, nonsense"]


@STREAMED
@pytest.mark.parametrize("dialect", ["openai-chat", "anthropic"])
@pytest.mark.parametrize("where", BREAKS)
async def test_f30_a_plugin_that_breaks_costs_its_own_candidate_only(start, dialect, where, stream):
    combo = '[combos.pair]\nmodels = ["broken/m", "second/m"]\n'
    refusal = Reply.json({"error": {"message": "no"}}, 418)
    async with FakeUpstream(answer=refusal) as first, FakeUpstream(answer=good) as second:
        given = {"broken-plugin": BrokenPlugin(Broken(where, first.base_url))}
        async with start(provider("second", second) + combo, given=given) as world:
            answer = await world.ask("pair", stream=stream, dialect=dialect)
            assert (answer.status_code, answer.headers["x-omniroute-provider"]) == (200, "second")
            assert codes(await world.record(answer)) == ["plugin_failed", None]
            alone = await world.ask("broken/m", stream=stream, dialect=dialect)
            assert alone.status_code == 502
            assert "provider 'broken'" in alone.text
            assert "secret-in-a-plugin" not in alone.text
            for _ in range(5):
                await world.ask("pair", stream=stream, dialect=dialect)
            skipped = (await world.record(await world.ask("pair", stream=stream, dialect=dialect))).attempts[0]
            assert (skipped.sent, skipped.error) == (False, "breaker_open")


class Odd:
    """A strategy that does what its test says."""

    name = "odd"
    options_type = msgspec.Struct

    def __init__(self, options):
        self.orders = self.observes = 0

    def order(self, targets, context):
        self.orders += 1
        return self.ordering(targets)

    def observe(self, outcome):
        self.observes += 1
        self.observing()

    def observing(self):
        pass


def odd_plugin(**does):
    class Plugin:
        @hookimpl
        def register_strategies(self):
            return [type("Odd", (Odd,), {name: staticmethod(what) for name, what in does.items()})]

    return {"odd-plugin": Plugin()}


def raises(*_):
    raise ZeroDivisionError("by the plugin")


NONSENSE = {
    "raises": raises,
    "nothing": lambda targets: [],
    "one twice": lambda targets: [targets[0]] * len(targets),
    "somebody else": lambda targets: [*targets[1:], "x"],
    "no list": lambda targets: None,
}
BY_ODD = 'strategy = "odd"\nsession_affinity = false\n'


@pytest.mark.parametrize("ordering", NONSENSE.values(), ids=NONSENSE)
async def test_f30_a_strategy_that_breaks_leaves_the_list_as_it_is_and_is_switched_off(start, ordering):
    async with FakeUpstream(answer=good) as first, FakeUpstream(answer=good) as second:
        settings = pair(first, second) + BY_ODD
        async with start(settings, given=odd_plugin(ordering=ordering)) as world:
            with capture_logs() as logs:
                answers = [await world.ask("pair") for _ in range(8)]
            assert {answer.headers["x-omniroute-provider"] for answer in answers} == {"first"}
            assert world.gateway.registry.combos["pair"].strategy.orders == 5
            said = [(log["event"], log["plugin"], log["strategy"]) for log in logs if "strategy" in log]
            assert said == [
                ("strategy failed", "odd-plugin", "odd"),
                ("strategy switched off until the next start: the order of the list holds", "odd-plugin", "odd"),
            ]


async def test_f30_a_strategy_that_breaks_when_it_is_told_the_outcome_costs_no_answer(start):
    async with FakeUpstream(answer=good) as first, FakeUpstream(answer=good) as second:
        does = odd_plugin(ordering=lambda targets: targets[::-1], observing=raises)
        async with start(pair(first, second) + BY_ODD, given=does) as world:
            servers = [
                (await world.ask("pair", stream=turn % 2 == 1)).headers["x-omniroute-provider"] for turn in range(8)
            ]
            assert servers == ["second"] * 5 + ["first"] * 3
            assert world.gateway.registry.combos["pair"].strategy.observes == 5


async def test_f30_a_plugin_that_blocks_the_loop_is_named_with_its_stack(start):
    def block(targets):
        until_s = time.monotonic() + 10
        while time.monotonic() < until_s and not any("stands still" in log["event"] for log in logs):
            time.sleep(0.005)
        return targets

    async with (
        FakeUpstream(answer=good) as first,
        FakeUpstream(answer=good) as second,
        start("[server]\nstall_s = 0.05\n" + pair(first, second) + BY_ODD, given=odd_plugin(ordering=block)) as world,
    ):
        with capture_logs() as logs, world.gateway.loop_watch:
            assert (await world.ask("pair")).status_code == 200
        stalls = [log for log in logs if "stands still" in log["event"]]
        found = [line for log in stalls if log["for_s"] > 0.05 for line in log["stack"] if line.endswith(" block")]
        assert [line.split(":")[0] for line in found] == [__name__]


# --- C6: the wall clock -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jump_s", [3600, -3600, 86_400, -86_400])
async def test_c6_a_wall_clock_that_jumps_moves_no_cooldown_and_no_timer(start, monkeypatch, jump_s):
    throttled = Reply.json({"error": {"message": "slow down"}}, 429, {"retry-after": "600"})
    clocks = "[timeouts]\nfirst_byte_s = 0.3\nkeepalive_s = 0.1\n"
    offset, wall = [0.0], time.time
    monkeypatch.setattr(time, "time", lambda: wall() + offset[0])
    async with (
        FakeUpstream(throttled, answer=good) as first,
        FakeUpstream(answer=good) as second,
        FakeUpstream(Hang(), answer=good) as silent,
        start(clocks + pair(first, second) + provider("silent", silent)) as world,
    ):
        assert codes(await world.record(await world.ask("pair"))) == ["rate_limit_exceeded", None]
        waiting = asyncio.create_task(world.ask("silent/m", stream=True))
        await silent.received(1)
        offset[0] = jump_s
        began = time.perf_counter()
        assert "did not begin to answer in time" in shown_error("openai-chat", (await waiting).text)
        assert time.perf_counter() - began < 1
        after = await world.record(await world.ask("pair"))
        assert (after.attempts[0].error, after.attempts[0].sent) == ("cooling", False)
        assert 595 <= after.attempts[0].retry_after_s <= 600
        assert len(first.requests) == 1
        assert abs(after.started_at_s - (wall() + jump_s)) < 5


# --- F07, F18: connections ----------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="others have other names for the options")
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_f07_a_peer_that_is_gone_without_a_word_is_noticed_by_the_system(start, transport):
    """Half-open connections: TCP asks after 30 s of silence, every 10 s, three times. The idle clock is usually sooner."""
    settings = f'[server]\ntransport = "{transport}"\n'
    async with FakeUpstream(Hang()) as upstream, start(settings + provider("p", upstream)) as world:
        waiting = asyncio.create_task(world.ask("p/m"))
        await upstream.received(1)
        [used] = sockets_to(int(upstream.origin.rpartition(":")[2]))
        assert used.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        assert [used.getsockopt(socket.IPPROTO_TCP, option) for option in options] == [30, 10, 3]
        waiting.cancel()
        await upstream.closed_by_peer(1)


def sockets_to(port):
    """Open ones of this process."""
    found = [one for one in gc.get_objects() if isinstance(one, socket.socket) and one.fileno() >= 0]
    return [one for one in found if one.family == socket.AF_INET and peer_port(one) == port]


def peer_port(one):
    try:
        return one.getpeername()[1]
    except OSError:
        return None


async def test_f18_a_connection_that_is_too_old_serves_no_further_request(start, monkeypatch):
    """The origin may have moved. The other transport has this in its own tests."""
    settings = '[server]\ntransport = "aiohttp"\n'
    async with FakeUpstream(answer=good) as upstream, start(settings + provider("p", upstream)) as world:
        for _ in range(3):
            await world.ask("p/m")
        assert len(upstream.connections) == 1
        monkeypatch.setattr(aiohttp_module, "MAX_AGE_S", 0.0)
        for _ in range(2):
            await world.ask("p/m")
        assert len(upstream.connections) == 3
