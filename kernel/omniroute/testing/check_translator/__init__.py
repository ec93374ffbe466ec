"""What the kernel expects of every translator."""

import re

from omniroute.contracts import Headers, Translator
from omniroute.testing.check_translator.answers import check_answers
from omniroute.testing.check_translator.listings import check_errors, check_models, check_token_counts
from omniroute.testing.check_translator.requests import check_requests

__all__ = ["check_translator"]

CREDENTIALS = {
    b"authorization": b"Bearer fake-key",
    b"x-api-key": b"fake-key",
    b"x-goog-api-key": b"fake-key",
    b"cookie": b"session=fake-key",
    b"host": b"gateway.example",
    b"content-length": b"10",
    b"connection": b"close",
}


def check_translator(translator: Translator) -> None:
    """Raise `AssertionError` saying what the kernel cannot work with.

    Facts are sane; requests and answers come back from their own encoding as they were; a stream folds to the same answer as
    the whole body, ends only at its terminal marker, and the tap sees what the decoder sees; bad bodies raise what the
    contract says and nothing else; every error, model list and token count has a form.
    """
    _check_facts(translator)
    _check_headers(translator)
    check_requests(translator)
    check_answers(translator)
    check_errors(translator)
    check_models(translator)
    check_token_counts(translator)


def _check_facts(translator: Translator) -> None:
    dialect = translator.dialect
    assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", dialect), (
        f"dialect {dialect!r}: lower-case words joined by hyphens"
    )
    assert translator.framing, f"{dialect}: no framing"
    claims = [(entry.method, entry.path) for entry in translator.ingress]
    assert len(set(claims)) == len(claims), f"{dialect}: two ingress entries with one method and path: {claims}"
    for method, path in claims:
        assert path.startswith("/"), f"{dialect}: ingress path {path!r} must start with a slash"
        assert method == method.upper(), f"{dialect}: ingress method {method!r} must be upper case"
    for name, operation in translator.operations.items():
        for below in (operation.path, operation.stream_path or operation.path):
            assert re.match(r"[^/]", below), (
                f"{dialect}: operation {name} has the path {below!r}; it is put below the provider's base URL, so no slash"
            )
    place = translator.credential
    assert place.header == place.header.lower(), f"{dialect}: credential header {place.header!r} must be lower case"
    marker = translator.models_header
    assert marker is None or marker == marker.lower(), f"{dialect}: models_header {marker!r} must be lower case"


def _check_headers(translator: Translator) -> None:
    passed = {**translator.request_headers(Headers(CREDENTIALS)), **translator.default_headers()}
    for name, value in passed.items():
        assert name == name.lower(), f"{translator.dialect}: header {name!r} must be lower case"
        assert name.encode() not in CREDENTIALS, f"{translator.dialect}: passes the client's {name} on to the upstream"
        assert "fake-key" not in value, f"{translator.dialect}: passes the client's key on in {name}"
