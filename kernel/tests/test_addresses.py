import pytest

from omniroute.addresses import address_of, is_loopback, is_loopback_url


@pytest.mark.parametrize(
    ("host", "address", "loopback"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.3.2.1", "127.3.2.1", True),
        ("::1", "::1", True),
        ("[::1]", "::1", True),
        ("::ffff:127.0.0.1", "127.0.0.1", True),
        ("Localhost", None, True),
        ("localhost.", None, False),
        ("localhost.evil.test", None, False),
        ("127.0.0.1.evil.test", None, False),
        ("0x7f000001", None, False),
        ("127.1", None, False),
        ("0.0.0.0", "0.0.0.0", False),
        ("::", "::", False),
        ("", None, False),
        ("192.168.1.5", "192.168.1.5", False),
        ("::ffff:192.168.1.5", "192.168.1.5", False),
        ("fe80::1%eth0", "fe80::1", False),
        ("my-laptop", None, False),
    ],
)
def test_a_host_is_this_machine_only_when_it_is_written_so(host, address, loopback):
    found = address_of(host)
    assert (found and str(found), is_loopback(host)) == (address, loopback)


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://127.0.0.1:11434/v1", True),
        ("http://LOCALHOST/v1", True),
        ("https://[::1]:8080/v1", True),
        ("http://127.0.0.1.evil.test/v1", False),
        ("http://127.0.0.1@evil.test/v1", False),
        ("http://evil.test/127.0.0.1", False),
        ("http://192.0.2.1:1/v1", False),
        ("http://[::1/v1", False),
        ("127.0.0.1:11434", False),
        ("", False),
    ],
)
def test_a_url_leads_to_this_machine_by_its_host_alone(url, loopback):
    assert is_loopback_url(url) is loopback
