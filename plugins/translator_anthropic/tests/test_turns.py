"""Histories as other dialects' clients send them, made into turns the service accepts."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omniroute.api import (
    AudioPart,
    CacheMark,
    ChatRequest,
    FilePart,
    ImagePart,
    InvalidRequest,
    Message,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from omniroute_translator_anthropic import AnthropicTranslator


def said(role, *parts, **more):
    return Message(
        role=role, parts=tuple(TextPart(text=part) if isinstance(part, str) else part for part in parts), **more
    )


def call(call_id, name="read", arguments="{}"):
    return ToolCallPart(id=call_id, name=name, arguments=arguments)


def result(call_id, text="ok"):
    return ToolResultPart(call_id=call_id, parts=(TextPart(text=text),))


def asked(*messages, model="some-model", **more):
    return ChatRequest(model=model, messages=messages, max_output_tokens=100, **more)


def text(value):
    return {"type": "text", "text": value}


def used(call_id, name="read"):
    return {"type": "tool_use", "id": call_id, "name": name, "input": {}}


def got(call_id, content="ok"):
    return {"type": "tool_result", "tool_use_id": call_id, "content": content}


def user(*blocks):
    return {"role": "user", "content": [text(block) if isinstance(block, str) else block for block in blocks]}


def assistant(*blocks):
    return {**user(*blocks), "role": "assistant"}


HISTORIES = [
    pytest.param(
        [said("user", "a"), said("user", "b"), said("assistant", "c"), said("assistant", "d"), said("user", "e")],
        [user("a", "b"), assistant("c", "d"), user("e")],
        [],
        id="turns of one role are joined",
    ),
    pytest.param(
        [
            said("user", "a"),
            said("assistant", call("c1"), call("c2")),
            said("tool", result("c2", "two")),
            said("tool", result("c1", "one")),
            said("user", "b"),
        ],
        [user("a"), assistant(used("c1"), used("c2")), user(got("c1", "one"), got("c2", "two"), "b")],
        [],
        id="parallel results are one turn, before the user's words",
    ),
    pytest.param(
        [said("user", "a"), said("assistant", call("c1")), said("user", "b"), said("tool", result("c1"))],
        [user("a"), assistant(used("c1")), user(got("c1"), "b")],
        [],
        id="a late result comes first",
    ),
    pytest.param(
        [said("user", "a"), said("assistant", call("c1"), call("c2")), said("tool", result("c1")), said("user", "b")],
        [user("a"), assistant(used("c1"), used("c2")), user(got("c1"), got("c2", "(no result)"), "b")],
        ["invented /messages/1/content/1"],
        id="a call without a result",
    ),
    pytest.param(
        [said("user", "a"), said("assistant", call("c1"))],
        [user("a"), assistant(used("c1")), user(got("c1", "(no result)"))],
        ["invented /messages/1/content/0"],
        id="a call at the very end",
    ),
    pytest.param(
        [said("user", "a"), said("tool", result("c9", "lost")), said("assistant", "b"), said("user", "c")],
        [
            user("a", "Result of an earlier tool call:", "lost"),
            assistant("b"),
            user("c"),
        ],
        ["approximated /messages/1/content/0"],
        id="a result without a call",
    ),
    pytest.param(
        [said("user", "a"), said("assistant", call("c1")), said("tool", result("c1", "x"), result("c1", "y"))],
        [user("a"), assistant(used("c1")), user(got("c1", "x"))],
        ["dropped /messages/2/content/1"],
        id="two results for one call",
    ),
    pytest.param(
        [
            said("user", "a"),
            said("assistant", call("call_0")),
            said("tool", result("call_0", "x")),
            said("assistant", call("call_0")),
            said("tool", result("call_0", "y")),
        ],
        [
            user("a"),
            assistant(used("call_0")),
            user(got("call_0", "x")),
            assistant(used("call_0_2")),
            user(got("call_0_2", "y")),
        ],
        [],
        id="ids that begin anew in every turn",
    ),
    pytest.param(
        [said("user", "a"), said("assistant", call("f.read:0")), said("tool", result("f.read:0"))],
        [user("a"), assistant(used("f_read_0_b39de74c")), user(got("f_read_0_b39de74c"))],
        [],
        id="an id that does not fit",
    ),
    pytest.param(
        [said("user", "a"), said("assistant", ""), said("user", " \n"), said("user", "b")],
        [user("a", "b")],
        ["dropped /messages/2/content/0"],
        id="empty and blank texts are left out",
    ),
    pytest.param(
        [said("assistant", "Welcome!"), said("user", "a")],
        [user("(The conversation begins with the assistant.)"), assistant("Welcome!"), user("a")],
        ["invented /messages"],
        id="the assistant speaks first",
    ),
    pytest.param(
        [said("user", "a"), said("developer", "Mind."), said("user", "b")],
        [user("a", "<system-reminder>\nMind.\n</system-reminder>", "b")],
        ["approximated /messages/1"],
        id="a system text in mid-conversation keeps its place",
    ),
    pytest.param(
        [said("user", "a"), said("assistant", "So it is \n")],
        [user("a"), assistant("So it is")],
        [],
        id="a prefill ends without white space",
    ),
    pytest.param(
        [said("system", "Be brief."), said("developer", "Be kind.")],
        [user("Be brief.", "Be kind.")],
        ["approximated /messages"],
        id="only system text",
    ),
    pytest.param([said("user", "a", name="Ann")], [user("a")], ["dropped /messages/0/name"], id="names of people"),
    pytest.param(
        [
            said("user", "a"),
            said("assistant", ReasoningPart(text="Hm."), "b"),
            said("user", "c"),
        ],
        [user("a"), assistant("b"), user("c")],
        ["dropped /messages/1/content/0"],
        id="thinking that nobody signed",
    ),
    pytest.param(
        [
            said("user", TextPart(text="a", provider_metadata={"gemini": {"thought_signature": "s"}})),
        ],
        [user("a")],
        ["dropped /messages/0/content/0/thought_signature"],
        id="what another vendor attached",
    ),
]


@pytest.mark.parametrize(("messages", "wire", "losses"), HISTORIES)
def test_histories_are_made_valid(encode, messages, wire, losses):
    sent, lost = encode(asked(*messages))
    assert sent["messages"] == wire
    assert lost == losses


def test_leading_system_texts_keep_their_borders(encode):
    marked = TextPart(text="Two.", cache=CacheMark(ttl="1h"))
    sent, losses = encode(asked(said("system", "One.", marked), said("developer", "Three."), said("user", "a")))
    assert sent["system"] == [
        text("One."),
        {**text("Two."), "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        text("Three."),
    ]
    assert losses == []


def test_a_request_that_holds_nothing_is_refused(encode):
    with pytest.raises(InvalidRequest) as caught:
        encode(asked(said("user", "")))
    assert caught.value.param == "/messages"


def test_a_prefill_is_left_out_for_models_that_refuse_it(encode):
    sent, losses = encode(asked(said("user", "a"), said("assistant", "So"), model="claude-opus-4-6"))
    assert sent["messages"] == [user("a")]
    assert losses == ["dropped /messages/1/content/0"]


def test_a_turn_that_paused_on_a_server_tool_is_no_prefill(encode):
    block = msgspec.Raw(b'{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{}}')
    paused = TextPart(text="", provider_metadata={"anthropic": {"block": block}})
    sent, losses = encode(asked(said("user", "a"), said("assistant", "Looking.", paused), model="claude-opus-5"))
    assert sent["messages"][1]["content"][1]["type"] == "server_tool_use"
    assert losses == []


def test_a_system_turn_only_this_dialect_can_say_stays_one(encode):
    block = msgspec.Raw(b'{"type":"tool_removal","tool":{"type":"tool_reference","name":"read"}}')
    removal = TextPart(text="", provider_metadata={"anthropic": {"block": block}})
    sent, losses = encode(asked(said("user", "a"), said("system", removal), said("user", "b")))
    assert [turn["role"] for turn in sent["messages"]] == ["user", "system", "user"]
    assert losses == []


# --- cache marks ------------------------------------------------------------------------------------------------------


def marked(value):
    return TextPart(text=value, cache=CacheMark())


def test_the_last_four_cache_marks_are_kept(encode):
    sent, losses = encode(asked(said("system", marked("s")), said("user", *map(marked, "abcde"))))
    kept = [block["text"] for block in sent["messages"][0]["content"] if "cache_control" in block]
    assert kept == ["b", "c", "d", "e"]
    assert sent["system"] == "s"
    assert losses == ["dropped /messages/0/content/0/cache_control", "dropped /messages/1/content/0/cache_control"]


def test_a_mark_for_the_whole_request_takes_a_place(encode):
    whole = {"anthropic": {"cache_control": msgspec.Raw(b'{"type":"ephemeral"}')}}
    sent, losses = encode(asked(said("user", *map(marked, "abcd")), extensions=whole))
    assert ["cache_control" in block for block in sent["messages"][0]["content"]] == [False, True, True, True]
    assert losses == ["dropped /messages/0/content/0/cache_control"]


def test_marks_within_results_count(encode):
    inner = ToolResultPart(call_id="c1", parts=tuple(map(marked, "abcd")), cache=CacheMark())
    sent, losses = encode(asked(said("user", "q"), said("assistant", call("c1")), said("tool", inner)))
    block = sent["messages"][2]["content"][0]
    assert ["cache_control" in piece for piece in (*block["content"], block)] == [False, True, True, True, True]
    assert len(losses) == 1


# --- media ------------------------------------------------------------------------------------------------------------

PNG = "iVBORw0KGgoAAAANSUhEUg=="


@pytest.mark.parametrize(
    ("part", "block", "losses"),
    [
        pytest.param(
            ImagePart(data=PNG),
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
            [],
            id="an image that does not say what it is",
        ),
        pytest.param(
            ImagePart(media_type="image/jpg; q=1", data="/9j/", detail="high"),
            {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "/9j/"}},
            ["dropped /messages/0/content/0/detail"],
            id="an image by another name, with detail",
        ),
        pytest.param(
            ImagePart(media_type="image/svg+xml", data="PHN2Zz4="),
            text("[left out: an image (image/svg+xml)]"),
            ["dropped /messages/0/content/0"],
            id="an image of a kind that is not taken",
        ),
        pytest.param(
            FilePart(media_type="image/webp", data="UklGRg=="),
            {"type": "image", "source": {"type": "base64", "media_type": "image/webp", "data": "UklGRg=="}},
            [],
            id="a file that is an image",
        ),
        pytest.param(
            FilePart(data="JVBERi0=", name="a.pdf"),
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
                "title": "a.pdf",
            },
            [],
            id="a PDF",
        ),
        pytest.param(
            FilePart(media_type="text/markdown", data="IyBIaQ=="),
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "# Hi"}},
            ["approximated /messages/0/content/0"],
            id="text in a file",
        ),
        pytest.param(
            FilePart(file_id="file-abc", name="a.docx"),
            text("[left out: a file ('a.docx', of unknown type)]"),
            ["dropped /messages/0/content/0"],
            id="a file at another upstream",
        ),
        pytest.param(
            AudioPart(format="wav", data="UklGRg=="),
            text("[left out: audio (wav)]"),
            ["dropped /messages/0/content/0"],
            id="audio",
        ),
    ],
)
def test_media_are_sent_or_said_to_be_missing(encode, part, block, losses):
    sent, lost = encode(asked(said("user", part)))
    assert sent["messages"] == [user(block)]
    assert lost == losses


def test_an_image_of_the_assistant_is_said_to_be_missing(encode):
    sent, losses = encode(asked(said("user", "a"), said("assistant", ImagePart(data=PNG)), said("user", "b")))
    assert sent["messages"][1] == assistant("[left out: a file the assistant made]")
    assert losses == ["dropped /messages/1/content/0"]


# --- any history ------------------------------------------------------------------------------------------------------

IDS = st.sampled_from(["a", "b", "a.b", "a:b", ""])
PARTS = {
    "user": st.builds(TextPart, text=st.sampled_from(["hi", "", " "])),
    "assistant": st.one_of(
        st.builds(TextPart, text=st.sampled_from(["hi", ""])),
        st.builds(call, IDS, st.sampled_from(["read", "fs.read"])),
        st.builds(ReasoningPart, text=st.just("hm")),
    ),
    "tool": st.builds(result, IDS),
    "system": st.builds(TextPart, text=st.just("mind")),
}
MESSAGES = st.sampled_from(sorted(PARTS)).flatmap(
    lambda role: st.lists(PARTS[role], max_size=4).map(lambda parts: said(role, *parts))
)


@given(st.lists(MESSAGES, max_size=8))
def test_any_history_ends_up_valid(messages):
    request = asked(said("user", "start"), *messages)
    turns = msgspec.json.decode(AnthropicTranslator().encode_request(request).body)["messages"]
    assert turns[0]["role"] == "user"
    assert all(turn["content"] for turn in turns)
    assert all(one["role"] != next_one["role"] for one, next_one in pairwise(turns))
    ids = [block["id"] for turn in turns for block in turn["content"] if block["type"] == "tool_use"]
    assert len(set(ids)) == len(ids)
    for at, turn in enumerate(turns):
        kinds = [block["type"] for block in turn["content"]]
        assert "text" not in kinds or all(block.get("text", "x").strip() for block in turn["content"])
        if turn["role"] == "user":
            calls = [block["id"] for block in turns[at - 1]["content"] if block["type"] == "tool_use"] if at else []
            results = [block["tool_use_id"] for block in turn["content"] if block["type"] == "tool_result"]
            assert results == calls
            assert kinds[: len(results)] == ["tool_result"] * len(results)
    assert turns[-1]["role"] == "user" or "tool_use" not in [block["type"] for block in turns[-1]["content"]]
