"""The list of models that most services have, to clients and from upstreams."""

import json

import pytest
from openai.types import Model

from omniroute.api import (
    CredentialRejected,
    ListedModel,
    ModelFacts,
    Price,
    UpstreamFailed,
    UpstreamGarbled,
    decode_model_list,
    encode_model_list,
    encode_model_list_entry,
)

FULL = ListedModel(
    id="p/big",
    provider="p",
    name="Big",
    created_s=7,
    context_tokens=128_000,
    max_output_tokens=16_000,
    capabilities=("tools", "vision"),
    price=Price(input_usd=0.15, output_usd=3, cached_usd=0),
)
FULL_WIRE = {
    "id": "p/big",
    "object": "model",
    "created": 7,
    "owned_by": "p",
    "name": "Big",
    "context_window": 128_000,
    "context_length": 128_000,
    "max_output_tokens": 16_000,
    "capabilities": ["tools", "vision"],
    "pricing": {"prompt": "0.00000015", "completion": "0.000003", "input_cache_read": "0"},
}
BARE = ListedModel(id="always-on", provider="omniroute", kind="combo")
BARE_WIRE = {"id": "always-on", "object": "model", "created": 0, "owned_by": "omniroute"}


def test_models_are_listed_with_what_is_known():
    listed = json.loads(encode_model_list([FULL, BARE]))
    assert listed == {"object": "list", "data": [FULL_WIRE, BARE_WIRE]}
    for model in listed["data"]:
        Model.model_validate(model, strict=True)
    assert json.loads(encode_model_list_entry(FULL)) == FULL_WIRE


@pytest.mark.parametrize(
    ("entry", "facts"),
    [
        pytest.param({}, {}, id="an id alone"),
        pytest.param({"object": "model", "created": 7, "owned_by": "x"}, {"created_s": 7}, id="the official form"),
        pytest.param({"context_length": 8192, "name": "M"}, {"context_tokens": 8192, "name": "M"}, id="context_length"),
        pytest.param({"max_model_len": 4096}, {"context_tokens": 4096}, id="max_model_len"),
        pytest.param(
            {"context_window": 1, "max_output_tokens": 2}, {"context_tokens": 1, "max_output_tokens": 2}, id="our own"
        ),
        pytest.param({"top_provider": {"max_completion_tokens": 9}}, {"max_output_tokens": 9}, id="nested"),
        pytest.param(
            {"created": 7.9, "context_length": None, "max_output_tokens": 0}, {"created_s": 7}, id="odd numbers"
        ),
        pytest.param(
            {"pricing": {"prompt": "0.0000025", "completion": 0, "image": "9", "input_cache_read": None}},
            {"price": Price(input_usd=2.5, output_usd=0)},
            id="prices per token",
        ),
        pytest.param({"pricing": {"prompt": "-1", "completion": "n/a"}}, {}, id="prices that are none"),
        pytest.param({"pricing": {"prompt": "inf"}}, {}, id="an endless price"),
        pytest.param(
            {"supported_parameters": ["tools", "seed", "reasoning"], "architecture": {"input_modalities": ["image"]}},
            {"capabilities": ("tools", "reasoning", "vision")},
            id="what it takes",
        ),
        pytest.param(
            {
                "pricing": "free",
                "architecture": "moe",
                "supported_parameters": {"a": 1},
                "capabilities": {"type": "chat"},
            },
            {},
            id="in forms of its own",
        ),
        pytest.param({"description": "x", "architecture": {"modality": "text"}}, {}, id="anything else"),
    ],
)
def test_an_upstreams_models_are_read_whatever_they_carry(entry, facts):
    expected = (ModelFacts(id="m", **facts),)
    assert tuple(decode_model_list(json.dumps({"object": "list", "data": [{"id": "m", **entry}]}).encode())) == expected
    assert tuple(decode_model_list(json.dumps([{"id": "m", **entry}]).encode())) == expected


def test_our_own_list_reads_back():
    assert tuple(decode_model_list(encode_model_list([FULL]))) == (
        ModelFacts(
            id="p/big",
            name="Big",
            created_s=7,
            context_tokens=128_000,
            max_output_tokens=16_000,
            capabilities=("tools", "vision"),
            price=FULL.price,
        ),
    )


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"5", b"{}", b'{"data":[{}]}', b'{"data":[{"id":5}]}', b'[{"id":"\xff"}]']
)
def test_a_list_that_is_none_is_garbled(body):
    with pytest.raises(UpstreamGarbled):
        decode_model_list(body)


def test_a_list_that_is_an_error_is_that_error():
    with pytest.raises(CredentialRejected):
        decode_model_list(b'{"error":{"message":"x","code":"invalid_api_key"}}')
    with pytest.raises(UpstreamFailed, match=r"^closed$"):
        decode_model_list(b'{"error":"closed"}')
