from datetime import UTC, datetime

import msgspec
import pytest
from anthropic.types import ModelInfo

from omniroute.api import ListedModel, ModelFacts, UpstreamGarbled

KNOWN = ListedModel(
    id="acme/small",
    provider="acme",
    name="Small",
    created_s=1_700_000_000,
    context_tokens=128_000,
    max_output_tokens=8_000,
)
BARE = ListedModel(id="fast", provider="omniroute", kind="combo")


def test_the_list_has_the_vendors_form(translator):
    wire = msgspec.json.decode(translator.encode_models([KNOWN, BARE]))
    assert (wire["has_more"], wire["first_id"], wire["last_id"]) == (False, "acme/small", "fast")
    known, bare = (ModelInfo.model_validate(entry, strict=False) for entry in wire["data"])
    assert (known.display_name, known.max_input_tokens, known.max_tokens) == ("Small", 128_000, 8_000)
    assert known.created_at == datetime.fromtimestamp(1_700_000_000, UTC)
    assert bare.display_name == "fast"
    assert (bare.max_input_tokens, bare.max_tokens, bare.capabilities) == (None, None, None)


def test_what_nobody_knows_is_left_out(translator):
    assert msgspec.json.decode(translator.encode_model(BARE)) == {
        "type": "model",
        "id": "fast",
        "display_name": "fast",
        "created_at": "1970-01-01T00:00:00Z",
        "lifecycle": "active",
    }


def test_an_empty_list_has_no_ends(translator):
    wire = msgspec.json.decode(translator.encode_models([]))
    assert wire == {"data": [], "has_more": False, "first_id": None, "last_id": None}


@pytest.mark.parametrize(
    ("entry", "facts"),
    [
        pytest.param(
            {
                "type": "model",
                "id": "m",
                "display_name": "M",
                "created_at": "2025-09-29T00:00:00Z",
                "lifecycle": "active",
                "max_input_tokens": 200_000,
                "max_tokens": 64_000,
                "capabilities": {},
            },
            ModelFacts(id="m", name="M", created_s=1_759_104_000, context_tokens=200_000, max_output_tokens=64_000),
            id="the vendor's",
        ),
        pytest.param(
            {"id": "m", "created_at": "1970-01-01T00:00:00Z", "max_input_tokens": None, "max_tokens": 0},
            ModelFacts(id="m"),
            id="nothing is known",
        ),
        pytest.param(
            {"id": "m", "object": "model", "created": 1_700_000_000},
            ModelFacts(id="m", created_s=1_700_000_000),
            id="an imitation's, in another dialect",
        ),
    ],
)
def test_an_upstreams_list_is_read(translator, entry, facts):
    assert list(translator.decode_models(msgspec.json.encode({"data": [entry]}))) == [facts]


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"data":[{}]}', b'{"data":[{"id":"m","created_at":"soon"}]}'])
def test_anything_else_is_garbled(translator, body):
    with pytest.raises(UpstreamGarbled):
        translator.decode_models(body)


@pytest.mark.parametrize(
    ("ends", "query"),
    [
        pytest.param({"has_more": True, "last_id": "m9"}, {"after_id": "m9"}, id="more"),
        pytest.param({"has_more": False, "last_id": "m9"}, None, id="the end"),
        pytest.param({"has_more": True, "last_id": None}, None, id="more, but behind what"),
        pytest.param({}, None, id="an imitation's"),
        pytest.param({"has_more": "yes"}, None, id="nonsense"),
    ],
)
def test_a_list_says_where_it_goes_on(translator, ends, query):
    assert translator.next_models_page(msgspec.json.encode({"data": [], **ends})) == query
