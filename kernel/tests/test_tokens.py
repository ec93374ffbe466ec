import base64
import threading

import msgspec
import pytest

from omniroute.contracts import TokenCounter, TokenOverhead
from omniroute.model import (
    AudioPart,
    ChatRequest,
    FilePart,
    ImagePart,
    Message,
    ReasoningPart,
    ResponseFormat,
    TextPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
)
from omniroute.tokens import MAX_COUNTED_CHARS, FourCharacters, TokenCounts, count_input_tokens

PNG = base64.b64encode(
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (280).to_bytes(4) + (56).to_bytes(4) + b"\x08\x02\0\0\0"
).decode()
NOTHING_AROUND = TokenOverhead(per_message=0, per_tool=0)


class Letters(TokenCounter):
    """Each character is a token, and nothing costs anything besides."""

    name = "letters"
    around = NOTHING_AROUND

    def __init__(self, model="known"):
        self.model = model
        self.threads = set()

    def counts(self, model):
        return model == self.model

    def count_text(self, model, texts):
        self.threads.add(threading.get_ident())
        return sum(map(len, texts))

    def overhead(self, model):
        return self.around


def request(*parts, role="user", **fields):
    return ChatRequest(model="m", messages=(Message(role=role, parts=parts),), **fields)


def count(asked, counter=None):
    return count_input_tokens(asked, "known", counter or Letters())


def tool(**fields):
    return request(tools=(Tool(**fields),))


@pytest.mark.parametrize(
    ("asked", "tokens"),
    [
        pytest.param(request(TextPart(text="hello")), 5, id="text"),
        pytest.param(request(TextPart(text="hello"), role="system"), 5, id="system text"),
        pytest.param(request(ReasoningPart(text="hmm")), 3, id="thinking"),
        pytest.param(request(ToolCallPart(id="c1", name="look", arguments='{"a":1}')), 11, id="a call"),
        pytest.param(request(ToolResultPart(call_id="c1", parts=(TextPart(text="found"),))), 5, id="a result"),
        pytest.param(
            request(ToolResultPart(call_id="c1", parts=(ImagePart(data=PNG),))), 20, id="an image in a result"
        ),
        pytest.param(tool(name="look", description="Looks."), 10, id="a tool"),
        pytest.param(
            tool(name="look", parameters=msgspec.Raw(b'{\n  "type" : "object"\n}')), 21, id="its schema, without blanks"
        ),
        pytest.param(
            tool(
                name="bash",
                kind="builtin",
                provider_metadata={"d": {"declaration": msgspec.Raw(b'{"type": "bash_1"}')}},
            ),
            17,
            id="a tool of the vendor's, as declared",
        ),
        pytest.param(tool(name="patch", kind="custom", description="Patches."), 13, id="a free-text tool without one"),
        pytest.param(
            request(response_format=ResponseFormat(kind="json_schema", schema=msgspec.Raw(b"{ }"))),
            2,
            id="the answer's schema",
        ),
        pytest.param(request(ImagePart(data=PNG)), 20, id="an image, by its pixels"),
        pytest.param(request(ImagePart(url="http://127.0.0.1/a.png")), 1600, id="an image nobody has seen"),
        pytest.param(request(ImagePart(data="AAAA")), 1600, id="an image of unknown form"),
        pytest.param(
            request(FilePart(media_type="text/plain", data=base64.b64encode(b"hello").decode())), 5, id="a text file"
        ),
        pytest.param(request(FilePart(media_type="text/plain", data="!")), 1, id="a text file that is none"),
        pytest.param(request(FilePart(media_type="application/pdf", data="A" * 240)), 10, id="a document"),
        pytest.param(request(FilePart(file_id="f1")), 1500, id="a document nobody has seen"),
        pytest.param(request(AudioPart(format="wav", data="A" * 13330)), 10, id="sound"),
        pytest.param(request(), 1, id="nothing is still one"),
    ],
)
def test_everything_a_model_reads_is_counted(asked, tokens):
    assert count(asked) == tokens


def test_a_counters_word_on_images_and_what_stands_around_is_taken():
    class Exact(Letters):
        around = TokenOverhead(per_request=1000, per_message=100, per_tool=10, with_tools=7)

        def count_image(self, model, size, detail):
            assert (model, size, detail) == ("known", (280, 56), "low")
            return 3

    asked = request(ImagePart(data=PNG, detail="low"), tools=(Tool(name="a"), Tool(name="b")))
    assert count(asked, Exact()) == 1000 + 100 + 2 * 10 + 7 + len("ab") + 3
    assert count(request(TextPart(text="hi")), Exact()) == 1102


def test_an_image_costs_no_more_than_the_largest():
    wide = base64.b64encode(base64.b64decode(PNG).replace((280).to_bytes(4), (40_000).to_bytes(4))).decode()
    assert count(request(ImagePart(data=wide))) == 1600


def test_without_a_tokenizer_four_characters_are_a_token():
    asked = request(TextPart(text="x" * 400), tools=(Tool(name="look", description="y" * 36),))
    assert count(asked, FourCharacters()) == 110 + TokenOverhead().per_message + TokenOverhead().per_tool


def test_more_text_than_a_model_can_read_is_taken_to_be_like_its_beginning():
    class Halves(Letters):
        def count_text(self, model, texts):
            assert sum(map(len, texts)) == MAX_COUNTED_CHARS
            return MAX_COUNTED_CHARS // 2

    parts = [TextPart(text="x" * (MAX_COUNTED_CHARS - 10)) for _ in range(3)]
    assert count(request(*parts), Halves()) == (3 * (MAX_COUNTED_CHARS - 10)) / 2


async def test_the_first_counter_that_knows_the_model_counts_and_not_on_the_event_loop():
    first, second = Letters("other"), Letters("known")
    counts = TokenCounts([first, second, Letters("known")])
    assert await counts.input_tokens(request(TextPart(text="hello")), "known") == 5
    assert first.threads == set()
    assert second.threads.isdisjoint({threading.get_ident()})


async def test_a_model_nobody_knows_is_estimated():
    assert await TokenCounts([Letters()]).input_tokens(request(TextPart(text="x" * 40)), "unknown") == 14


@pytest.mark.parametrize("method", ["counts", "count_text", "count_image", "overhead"])
async def test_a_counter_that_fails_is_passed_over(method):
    class Broken(Letters):
        pass

    def fail(*_):
        raise RuntimeError("no vocabulary here")

    setattr(Broken, method, fail)
    asked = request(TextPart(text="hello"), ImagePart(data=PNG))
    assert await TokenCounts([Broken(), Letters()]).input_tokens(asked, "known") == 25
