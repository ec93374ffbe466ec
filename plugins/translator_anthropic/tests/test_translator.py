import pytest

from omniroute.api import Headers
from omniroute.testing import check_translator
from omniroute_translator_anthropic import register_translators


def test_the_kernel_can_work_with_it(translator):
    check_translator(translator)


def test_it_is_found_through_its_hook():
    assert [translator.dialect for translator in register_translators()] == ["anthropic"]


def test_clients_may_leave_v1_out(translator):
    assert [(entry.path, entry.operation) for entry in translator.ingress] == [
        ("/v1/messages", "chat"),
        ("/messages", "chat"),
        ("/v1/messages/count_tokens", "count_tokens"),
        ("/messages/count_tokens", "count_tokens"),
    ]


def test_upstreams_are_asked_at_the_vendors_paths(translator):
    assert {name: (found.method, found.path) for name, found in translator.operations.items()} == {
        "chat": ("POST", "messages"),
        "count_tokens": ("POST", "messages/count_tokens"),
        "models": ("GET", "models"),
    }
    assert (translator.credential.header, translator.credential.prefix) == ("x-api-key", "")


@pytest.mark.parametrize(
    ("sent", "passed_on"),
    [
        pytest.param({}, {}, id="none"),
        pytest.param(
            {b"anthropic-version": b"2026-10-21", b"anthropic-beta": b"a-1,b-2", b"x-api-key": b"test-key-1"},
            {"anthropic-version": "2026-10-21", "anthropic-beta": "a-1,b-2"},
            id="version and beta, no key",
        ),
    ],
)
def test_version_and_beta_headers_go_along(translator, sent, passed_on):
    assert translator.request_headers(Headers(sent)) == passed_on


def test_an_upstream_always_gets_a_version(translator):
    assert translator.default_headers() == {"anthropic-version": "2023-06-01"}


def test_a_waiting_client_gets_a_ping_event(translator):
    assert translator.keepalive == b'event: ping\ndata: {"type":"ping"}\n\n'


def test_token_counts_have_the_vendors_form(translator):
    assert translator.encode_token_count(42) == b'{"input_tokens":42}'
    assert translator.decode_token_count(b'{"input_tokens": 42, "context_management": {}}') == 42
