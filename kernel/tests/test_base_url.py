import pytest

from omniroute.base_url import check_base_url
from omniroute.errors import InvalidRequest


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://api.example.com/v1", "https://api.example.com/v1"),
        ("https://api.example.com/v1/", "https://api.example.com/v1"),
        ("https://api.example.com//", "https://api.example.com"),
        ("http://127.0.0.1:9000/v1", "http://127.0.0.1:9000/v1"),
        ("http://localhost:11434/v1", "http://localhost:11434/v1"),
        ("http://192.168.1.20:8080", "http://192.168.1.20:8080"),
        ("http://[::1]:8080/v1", "http://[::1]:8080/v1"),
        ("http://169.253.255.255/v1", "http://169.253.255.255/v1"),
        ("https://metadatabase.example.com/v1", "https://metadatabase.example.com/v1"),
        ("https://api.example.com/models", "https://api.example.com/models"),
        ("https://api.example.com/messages/v1", "https://api.example.com/messages/v1"),
    ],
)
def test_an_api_root_is_kept_without_its_trailing_slash(url, kept):
    assert check_base_url(url) == kept


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "must begin with http"),
        ("api.example.com/v1", "must begin with http"),
        ("ftp://api.example.com", "must begin with http"),
        ("file:///etc/passwd", "must begin with http"),
        ("https:///v1", "must begin with http"),
        ("https://:80/v1", "must begin with http"),
        ("https://api.example.com:99999/v1", "Port out of range"),
        ("https://api.example.com:0/v1", "must begin with http"),
        ("https://[::1/v1", "Invalid IPv6 URL"),
        ("https://user:secret@api.example.com/v1", "user name or password"),
        ("https://@api.example.com/v1", "user name or password"),
        ("https://api.example.com/v1?key=secret", "query or a fragment"),
        ("https://api.example.com/v1?", "query or a fragment"),
        ("https://api.example.com/v1#x", "query or a fragment"),
        ("https://api.example.com/v1\r\nX: y", "printable ASCII"),
        ("https://api.example.com/a b", "printable ASCII"),
        ("https://api.example.com\\@evil.example/v1", "printable ASCII"),
        ("https://bücher.example/v1", "printable ASCII"),
        ("http://169.254.169.254/latest", "link-local"),
        ("http://169.254.0.1/v1", "link-local"),
        ("http://2852039166/v1", "link-local"),
        ("http://0xa9fea9fe/v1", "link-local"),
        ("http://0251.0376.0251.0376/v1", "link-local"),
        ("http://169.254.43518/v1", "link-local"),
        ("http://169.254.169.254./v1", "link-local"),
        ("http://[::ffff:169.254.169.254]/v1", "link-local"),
        ("http://[fe80::1]/v1", "link-local"),
        ("http://[fe80::1%25eth0]/v1", "link-local"),
        ("http://[fd00:ec2::254]/v1", "link-local"),
        ("http://[fd00:0ec2:0:0::0254]/v1", "link-local"),
        ("http://100.100.100.200/v1", "link-local"),
        ("http://metadata.google.internal/v1", "link-local"),
        ("http://METADATA.google.internal./v1", "link-local"),
        ("http://metadata/v1", "link-local"),
        ("https://api.example.com/v1/chat/completions", "endpoint /chat/completions"),
        ("https://api.example.com/v1/chat/completions/", "endpoint /chat/completions"),
        ("https://api.example.com/v1/messages", "endpoint /messages"),
        ("https://api.example.com/v1/responses", "endpoint /responses"),
        ("https://api.example.com/v1beta/models/m:generateContent", "endpoint :generateContent"),
    ],
)
def test_what_is_no_api_root_is_refused_with_the_reason(url, why):
    with pytest.raises(InvalidRequest) as raised:
        check_base_url(url)
    assert why in raised.value.why
    assert "API root" in raised.value.fix or "key" in raised.value.fix
    assert "secret" not in raised.value.text
