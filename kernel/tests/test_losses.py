import msgspec
import pytest

from omniroute.api import (
    ChatRequest,
    Loss,
    Message,
    Source,
    TextPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
    extension_losses,
)
from omniroute.losses import in_source, source_pointer

TEXT = TextPart(text="a", source=Source("/input/1/content/0", {"cache_control": "/mark"}))
CALL = ToolCallPart(
    id="c", name="f", arguments="{}", source=Source("/input/2", {"arguments": "/input", "signature": "/sealed"})
)
SAID = TextPart(text="b", source=Source("/input/3/output"))
RESULT = ToolResultPart(call_id="c", parts=(SAID,), source=Source("/input/3"))
WORDS = TextPart(text="c", source=Source("/input/4", {"": "/text", "phase": "/phase"}))
REQUEST = ChatRequest(
    model="m",
    messages=(
        Message(role="user", parts=(TEXT, TextPart(text="added")), source=Source("/input/1")),
        Message(role="assistant", parts=(CALL, WORDS), source=Source("/input/2")),
        Message(role="tool", parts=(RESULT,), source=Source("/input/3")),
    ),
    tools=(Tool(name="f", source=Source("/tools/4/function")), Tool(name="added")),
    source=Source("", {"messages": "/input", "reasoning": "/think", "reasoning/effort": "/config/effort"}),
)


@pytest.mark.parametrize(
    ("pointer", "place"),
    [
        pytest.param("/temperature", "/temperature", id="a field of the same name"),
        pytest.param("/reasoning", "/think", id="a field of another name"),
        pytest.param("/reasoning/summary", "/think/summary", id="below such a field"),
        pytest.param("/reasoning/effort", "/config/effort", id="the longest path wins"),
        pytest.param("/messages", "/input", id="all messages"),
        pytest.param("/messages/0", "/input/1", id="a message"),
        pytest.param("/messages/0/name", "/input/1/name", id="a message's field"),
        pytest.param("/messages/0/content/0", "/input/1/content/0", id="a part"),
        pytest.param("/messages/0/content/0/cache_control", "/input/1/content/0/mark", id="a part's field"),
        pytest.param("/messages/0/content/1/x", "/input/1", id="a part that somebody added"),
        pytest.param("/messages/1/content/0/arguments/a/0", "/input/2/input/a/0", id="deep inside a field"),
        pytest.param("/messages/1/content/1", "/input/4/text", id="a part that is a field"),
        pytest.param("/messages/1/content/1/phase", "/input/4/phase", id="beside a part that is a field"),
        pytest.param("/messages/2/content/0/content/0", "/input/3/output", id="a part of a result"),
        pytest.param("/messages/2/content/0/is_error", "/input/3/is_error", id="a result's field"),
        pytest.param(
            "/tools/0/parameters/properties/a~1b", "/tools/4/function/parameters/properties/a~1b", id="a tool"
        ),
        pytest.param("/tools/9", "/tools/9", id="nothing of that number"),
    ],
)
def test_what_is_lost_is_named_by_its_place_in_the_client_s_body(pointer, place):
    assert source_pointer(pointer, REQUEST) == place
    [loss] = in_source([Loss(pointer=pointer, kind="dropped", reason="r")], REQUEST)
    assert loss == Loss(pointer=place, kind="dropped", reason="r")


def test_without_a_source_a_pointer_stays_as_it_is():
    bare = ChatRequest(model="m", messages=(Message(role="user", parts=(TextPart(text="a"),)),))
    losses = (Loss(pointer="/messages/0/content/0/name", kind="dropped", reason="r"),)
    assert in_source(losses, bare) == losses


def test_where_a_thing_came_from_is_no_part_of_it():
    assert TEXT == TextPart(text="a") == msgspec.structs.replace(TEXT, source=Source("/elsewhere"))
    assert TextPart(text="b", source=TEXT.source) != TEXT
    assert Source("/a") != "/a"


def test_fields_of_other_dialects_are_losses():
    request = ChatRequest(model="m", messages=(), extensions={"mine": {"a": 1}, "theirs": {"b": 1}})
    assert extension_losses(request, "mine") == (Loss(pointer="/b", kind="dropped", reason="mine has no such field"),)
