"""TLS: verified always, and what is wrong with it is named."""

import asyncio
import datetime
import ipaddress
import random
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from omniroute.api import HttpRequest, UpstreamUnreachable
from omniroute.transport import LeanTransport, read_whole

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


def certificate(names, *, issuer=None, is_authority=False, until=NOW + DAY):
    """(certificate, key), signed by `issuer` or by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0])])
    alternatives = [
        x509.IPAddress(ipaddress.ip_address(given)) if given[0].isdigit() else x509.DNSName(given) for given in names
    ]
    signer = key if issuer is None else issuer[1]
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name if issuer is None else issuer[0].subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - 2 * DAY)
        .not_valid_after(until)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return builder.sign(signer, hashes.SHA256()), key


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    made = certificate(["an authority"], is_authority=True)
    path = tmp_path_factory.mktemp("tls") / "authority.pem"
    path.write_bytes(made[0].public_bytes(serialization.Encoding.PEM))
    return made, path


@pytest.fixture
def server_tls(authority, tmp_path):
    """The server's side: `expired`, `other host`, `self-signed`, or else good."""

    def made(what="good"):
        cert, key = certificate(
            ["other.example"] if what == "other host" else ["localhost", "127.0.0.1"],
            issuer=None if what == "self-signed" else authority[0],
            until=NOW - DAY if what == "expired" else NOW + DAY,
        )
        path = tmp_path / "server.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + cert.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        context.set_alpn_protocols(["h2", "http/1.1"])
        return context

    return made


@pytest.fixture
async def transport(kind, opened, authority):
    return await opened(kind(tls=ssl.create_default_context(cafile=authority[1])))


async def test_a_verified_connection_is_used_and_used_again(transport, serve, reply, server_tls):
    async with serve(reply(OK), server_tls()) as server:
        for _ in range(3):
            assert await read_whole(await transport.send(HttpRequest(url=server.url)), 10) == b"{}"
        assert server.connections == 1


async def test_large_bodies_arrive_whole_over_tls(transport, serve, server_tls):
    body = random.Random(2).randbytes(3_000_000)

    async def script(head, _, writer, reader):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n" + await reader.readexactly(3_000_000))

    async with serve(script, server_tls()) as server:
        for _ in range(2):
            stream = await transport.send(HttpRequest(url=server.url, body=body))
            assert await read_whole(stream, 2**22) == body
        assert server.connections == 1


@pytest.mark.parametrize(
    ("what", "said"), [("expired", "expired"), ("other host", "mismatch"), ("self-signed", "self")]
)
async def test_a_certificate_that_is_wrong_is_refused_and_named(transport, serve, reply, server_tls, what, said):
    async with serve(reply(OK), server_tls(what)) as server:
        with pytest.raises(UpstreamUnreachable) as caught:
            await transport.send(HttpRequest(url=server.url, headers={"authorization": "Bearer test-key"}))
        assert caught.value.why.startswith("TLS: ")
        assert said in caught.value.why.lower()
        assert server.requests == 0


async def test_a_server_that_speaks_no_tls_is_unreachable_and_says_why(transport):
    async def plain(reader, writer):
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 no TLS here\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(UpstreamUnreachable) as caught:
            await transport.send(HttpRequest(url=f"https://127.0.0.1:{port}/"))
        assert caught.value.why.startswith("TLS: ")


class Silent:
    """Accepts connections and says nothing."""

    async def __aenter__(self):
        self.greeted, self.gone = asyncio.Event(), asyncio.Event()
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        return self.server.sockets[0].getsockname()[1]

    async def __aexit__(self, *_):
        self.server.close()
        await asyncio.wait_for(self.gone.wait(), 5)

    async def serve(self, reader, writer):
        await reader.read(1)
        self.greeted.set()
        while await reader.read(1000):
            pass
        writer.close()
        self.gone.set()


async def test_a_handshake_that_hangs_ends_with_the_connect_clock(transport):
    async with Silent() as port:
        with pytest.raises(UpstreamUnreachable, match="reached") as caught:
            await transport.send(HttpRequest(url=f"https://127.0.0.1:{port}/"), connect_timeout_s=0.05)
        assert "in time" in caught.value.why


async def test_cancelling_in_the_handshake_closes_the_connection(transport):
    silent = Silent()
    async with silent as port:
        call = asyncio.create_task(transport.send(HttpRequest(url=f"https://127.0.0.1:{port}/")))
        await silent.greeted.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


async def test_closing_a_stream_over_tls_closes_its_connection_at_once(transport, serve, reply, server_tls):
    async with serve(reply(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"), server_tls()) as server:
        stream = await transport.send(HttpRequest(url=server.url))
        stream.close()
        await server.until_closed()


async def test_the_roots_are_the_systems_and_http_1_1_is_asked_for(opened, serve, server_tls, authority, monkeypatch):
    """The system's include what SSL_CERT_FILE names."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority[1]))
    spoken = []

    async def script(head, body, writer, reader):
        spoken.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
        writer.write(OK)

    transport = await opened(LeanTransport())
    async with serve(script, server_tls()) as server:
        for stream in await asyncio.gather(*(transport.send(HttpRequest(url=server.url)) for _ in range(3))):
            assert await read_whole(stream, 10) == b"{}"
    assert set(spoken) == {"http/1.1"}


async def test_an_authority_the_system_does_not_know_is_refused(opened, serve, reply, server_tls):
    transport = await opened(LeanTransport())
    async with serve(reply(OK), server_tls()) as server:
        with pytest.raises(UpstreamUnreachable) as caught:
            await transport.send(HttpRequest(url=server.url))
        assert caught.value.why.startswith("TLS: ")
