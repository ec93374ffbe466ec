import msgspec
import pytest

from omniroute.errors import SettingsError
from omniroute.server import Exposed, HostCheck, check_exposure
from omniroute.server.hosts import is_wildcard, url_host
from omniroute.settings import AuthSettings, ServerSettings, Settings

LOOPBACK = [b"127.0.0.1", b"127.0.0.1:20128", b"localhost", b"LocalHost:20128", b"[::1]", b"[::1]:20128"]
STRANGERS = [
    b"evil.test", b"evil.test:20128", b"localhost:20129", b"127.0.0.1:80", b"localhost.", b"localhost.evil.test",
    b"127.0.0.2:20128", b"0.0.0.0:20128", b"[::]:20128", b"::1", b"", b"localhost:", b"localhost:020128",
]  # fmt: skip


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "0.0.0.0", "::", ""])
def test_loopback_names_with_the_own_port_are_always_allowed_and_strangers_never(host):
    check = HostCheck(host, 20128)
    assert [name for name in LOOPBACK if not check.allows(name)] == []
    assert [name for name in STRANGERS if check.allows(name)] == []


@pytest.mark.parametrize(
    ("host", "allowed_hosts", "good", "bad"),
    [
        pytest.param("192.0.2.7", (), [b"192.0.2.7", b"192.0.2.7:20128"], [b"192.0.2.8"], id="the bind address"),
        pytest.param("0:0:0:0:0:0:0:2", (), [b"[::2]", b"[::2]:20128"], [b"[::3]"], id="a bind address in long form"),
        pytest.param("gw.test", (), [b"gw.test", b"GW.test:20128"], [b"x.gw.test"], id="the bind name"),
        pytest.param("127.0.0.1", ("gw.test",), [b"gw.test", b"gw.test:20128"], [b"gw.test:443"], id="a name"),
        pytest.param("127.0.0.1", ("gw.test:8443",), [b"gw.test:8443"], [b"gw.test", b"gw.test:20128"], id="with a port"),
        pytest.param("127.0.0.1", ("2001:db8::7",), [b"[2001:db8::7]:20128"], [b"[2001:db8::8]"], id="an IPv6 address"),
        pytest.param("127.0.0.1", ("[2001:db8::7]:1",), [b"[2001:db8::7]:1"], [b"[2001:db8::7]"], id="IPv6 and port"),
        pytest.param("127.0.0.1", ("bücher.test",), [b"xn--bcher-kva.test"], [b"bucher.test"], id="beyond ascii"),
    ],
)  # fmt: skip
def test_further_hosts_are_allowed_as_they_are_named(host, allowed_hosts, good, bad):
    check = HostCheck(host, 20128, allowed_hosts)
    assert [name for name in good if not check.allows(name)] == []
    assert [name for name in bad if check.allows(name)] == []


def test_an_allowed_host_that_is_no_name_is_a_finding():
    with pytest.raises(SettingsError, match="allowed_hosts"):
        HostCheck("127.0.0.1", 20128, ["ü" * 80])


@pytest.mark.parametrize(
    ("host", "wildcard", "in_url"),
    [
        ("127.0.0.1", False, "127.0.0.1"),
        ("::1", False, "[::1]"),
        ("[::1]", False, "[::1]"),
        ("::ffff:127.0.0.1", False, "127.0.0.1"),
        ("Localhost", False, "Localhost"),
        ("0.0.0.0", True, "0.0.0.0"),
        ("::", True, "[::]"),
        ("", True, ""),
        ("192.168.1.5", False, "192.168.1.5"),
        ("fe80::1%eth0", False, "[fe80::1]"),
        ("my-laptop", False, "my-laptop"),
    ],
)
def test_what_a_host_is(host, wildcard, in_url):
    assert (is_wildcard(host), url_host(host)) == (wildcard, in_url)


def settings(host: str, *, keys: bool, insecure: bool = False) -> Settings:
    return msgspec.structs.replace(
        Settings(),
        server=ServerSettings(host=host, insecure_http=insecure),
        auth=AuthSettings(require_client_key=keys),
    )


NO_KEYS, PLAIN = "without a key", "unencrypted"


@pytest.mark.parametrize("where", ["flag", "setting"])
@pytest.mark.parametrize(
    ("host", "keys", "insecure", "reasons"),
    [
        *((host, keys, insecure, None)
          for host in ("127.0.0.1", "::1", "localhost") for keys in (True, False) for insecure in (True, False)),
        *((host, *case)
          for host in ("0.0.0.0", "::", "", "192.168.1.5", "gw.test")
          for case in (
              (True, True, None), (True, False, {PLAIN}), (False, True, {NO_KEYS}), (False, False, {NO_KEYS, PLAIN}),
          )),
    ],
)  # fmt: skip
def test_listening_beyond_loopback_takes_keys_and_a_word_about_plain_http(host, keys, insecure, reasons, where):
    asked = settings(host, keys=keys, insecure=insecure and where == "setting")
    if reasons is None:
        check_exposure(asked, insecure_http=insecure and where == "flag")
        return
    with pytest.raises(Exposed) as refused:
        check_exposure(asked, insecure_http=insecure and where == "flag")
    assert {reason for reason in (NO_KEYS, PLAIN) if reason in str(refused.value.why)} == reasons
    assert refused.value.fix
