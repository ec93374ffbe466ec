"""Connections of callers nobody knows yet: counted per address, until one shows a key."""

import pytest

from omniroute.server.strangers import Strangers

PLACES = [
    pytest.param("127.0.0.1", "", id="loopback"),
    pytest.param("::1", "", id="loopback of version 6"),
    pytest.param("::ffff:127.0.0.1", "", id="loopback in version 6"),
    pytest.param("", "", id="no address, as of a Unix socket"),
    pytest.param("192.0.2.7", "192.0.2.7", id="an address"),
    pytest.param("::ffff:192.0.2.7", "192.0.2.7", id="the same in version 6"),
    pytest.param("2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64", id="a network of version 6"),
    pytest.param("2001:db8:1:2:bbbb::9", "2001:db8:1:2::/64", id="another address in it"),
    pytest.param("fe80::1%eth0", "fe80::/64", id="with a zone"),
    pytest.param("testclient", "testclient", id="no address at all"),
]


@pytest.mark.parametrize(("host", "place"), PLACES)
def test_where_an_address_is_counted(host, place):
    assert Strangers(1).place(host) == place


def test_a_server_behind_another_on_its_machine_may_count_loopback_too():
    assert Strangers(1, trusts_loopback=False).place("127.0.0.1") == "127.0.0.1"


def test_without_a_limit_nothing_is_counted():
    assert Strangers(0).place("192.0.2.7") == ""


def test_each_place_has_its_own_room_and_is_forgotten_when_empty():
    strangers = Strangers(2)
    assert [strangers.arrive(place) for place in ("a", "a", "a", "b")] == [True, True, False, True]
    strangers.leave("a")
    assert strangers.arrive("a")
    for place in ("a", "a", "b"):
        strangers.leave(place)
    assert len(strangers) == 0
