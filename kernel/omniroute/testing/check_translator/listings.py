"""Errors, model lists and token counts in the dialect's form."""

from collections.abc import Iterator

import msgspec

from omniroute import errors
from omniroute.contracts import ListedModel, Translator
from omniroute.errors import GatewayError

__all__ = ["check_errors", "check_models", "check_token_counts"]

MODELS = (
    ListedModel(id="acme/small", provider="acme", name="Small", created_s=1_700_000_000, context_tokens=128_000),
    ListedModel(id="fast", provider="omniroute", kind="combo"),
)


def check_errors(translator: Translator) -> None:
    for kind in _kinds(GatewayError):
        error = kind("it broke", why="a wire was loose", fix="tie it", retry_after_s=2.5)
        answer = translator.encode_error(error, "request-1")
        assert answer.status == error.status, f"{kind.__name__}: status {answer.status}; the error says {error.status}"
        body = _object(answer.body, f"encode_error({kind.__name__})")
        assert "it broke" in str(body), f"encode_error({kind.__name__}) does not say what happened"
        for name in answer.headers:
            assert name == name.lower(), f"encode_error({kind.__name__}): header {name!r} must be lower case"


def _kinds(kind: type[GatewayError]) -> Iterator[type[GatewayError]]:
    if kind.__module__ == errors.__name__:
        yield kind
    for child in kind.__subclasses__():
        yield from _kinds(child)


def check_models(translator: Translator) -> None:
    body = translator.encode_models(MODELS)
    _object(body, "encode_models()")
    found = [model.id for model in translator.decode_models(body)]
    assert found == [model.id for model in MODELS], f"encode_models() and decode_models() give {found}"
    assert not translator.decode_models(translator.encode_models(())), "an empty model list is not empty"
    for model in MODELS:
        entry = _object(translator.encode_model(model), f"encode_model({model.id})")
        assert model.id in str(entry), f"encode_model({model.id}) does not name it"


def check_token_counts(translator: Translator) -> None:
    if "count_tokens" in translator.operations or any(
        entry.operation == "count_tokens" for entry in translator.ingress
    ):
        found = translator.decode_token_count(translator.encode_token_count(4321))
        assert found == 4321, f"a token count of 4321 came back as {found}"


def _object(body: bytes, what: str) -> object:
    try:
        value = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise AssertionError(f"{what} is no JSON: {error}") from error
    assert isinstance(value, dict), f"{what} is no JSON object"
    return value
