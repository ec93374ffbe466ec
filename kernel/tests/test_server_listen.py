import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from omniroute.server import CannotListen, PortInUse
from omniroute.server.listen import base_url, bind


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", ""])
def test_a_free_port_is_taken_and_named_in_the_url(opened, host):
    sockets = [opened.enter_context(each) for each in bind(host, 0)]
    ports = {each.getsockname()[1] for each in sockets}
    assert len(ports) == 1
    name = "localhost" if host == "localhost" else "127.0.0.1"
    assert base_url(host, sockets) == f"http://{name}:{ports.pop()}"
    socket.create_connection(("127.0.0.1", sockets[0].getsockname()[1]), timeout=5).close()


def test_localhost_never_reaches_further_than_loopback(opened):
    sockets = [opened.enter_context(each) for each in bind("localhost", 0)]
    assert {each.getsockname()[0] for each in sockets} <= {"127.0.0.1", "::1"}


def test_a_taken_port_is_told_with_the_way_out(opened):
    (first,) = [opened.enter_context(each) for each in bind("127.0.0.1", 0)]
    port = first.getsockname()[1]
    with pytest.raises(PortInUse) as refused:
        bind("127.0.0.1", port)
    assert refused.value.code == "port-in-use"
    assert refused.value.message == f"port {port} is taken"
    assert f"127.0.0.1:{port}" in str(refused.value.why)
    assert "--port" in str(refused.value.fix)


@pytest.mark.parametrize("host", ["192.0.2.1", "a" * 64 + ".test"])
def test_an_address_that_is_not_ours_is_told(host):
    with pytest.raises(CannotListen) as refused:
        bind(host, 0)
    assert refused.value.why
    assert refused.value.fix
