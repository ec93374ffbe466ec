"""Pairs of a wire value and its canonical form: each is decoded, and encoded back."""

import base64

import msgspec
import pytest
from msgspec import Raw

from omniroute.api import (
    CacheMark,
    ChatRequest,
    FilePart,
    Headers,
    ImagePart,
    InvalidRequest,
    Message,
    Reasoning,
    ReasoningPart,
    ResponseFormat,
    Sampling,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
)

HI = Message(role="user", parts=(TextPart(text="hi"),))
HI_WIRE = {"role": "user", "content": [{"type": "text", "text": "hi"}]}
MARK = {"type": "ephemeral"}
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}
READ = {"name": "read", "input_schema": SCHEMA}


def raw(value):
    return Raw(msgspec.json.encode(value))


def said(role, *parts):
    return Message(role=role, parts=parts)


def mine(**fields):
    return {"anthropic": fields}


def call(call_id="toolu_1", name="read", arguments='{"path":"a"}', **more):
    return ToolCallPart(id=call_id, name=name, arguments=arguments, **more)


CALL_WIRE = {"type": "tool_use", "id": "toolu_1", "name": "read", "input": {"path": "a"}}
ASKED_WIRE = {"role": "assistant", "content": [CALL_WIRE]}
RESULT = ToolResultPart(call_id="toolu_1", parts=(TextPart(text="noon"),))
RESULT_WIRE = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "noon"}
BARE_WIRE = {"type": "tool_result", "tool_use_id": "toolu_1"}

TURNS = [
    pytest.param([HI_WIRE], [HI], id="text"),
    pytest.param(
        [{"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {**MARK, "ttl": "1h"}}]}],
        [said("user", TextPart(text="a", cache=CacheMark(ttl="1h")))],
        id="a cache mark",
    ),
    pytest.param(
        [
            {
                "role": "user",
                "content": [
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
                    {"type": "image", "source": {"type": "url", "url": "https://pictures.example/1"}},
                ],
            }
        ],
        [
            said(
                "user",
                ImagePart(media_type="image/png", data="aGk="),
                ImagePart(url="https://pictures.example/1"),
            )
        ],
        id="images",
    ),
    pytest.param(
        [
            {
                "role": "user",
                "content": [
                    {
                        "type": "document",
                        "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
                        "title": "a.pdf",
                        "citations": {"enabled": True},
                    },
                    {"type": "document", "source": {"type": "url", "url": "https://papers.example/1"}},
                ],
            }
        ],
        [
            said(
                "user",
                FilePart(
                    media_type="application/pdf",
                    data="JVBERi0=",
                    name="a.pdf",
                    provider_metadata=mine(citations=raw({"enabled": True})),
                ),
                FilePart(media_type="application/pdf", url="https://papers.example/1"),
            )
        ],
        id="documents",
    ),
    pytest.param(
        [
            HI_WIRE,
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "", "signature": "EgF0"},
                    {"type": "redacted_thinking", "data": "opaque"},
                    {"type": "text", "text": "Reading."},
                    CALL_WIRE,
                ],
            },
            {"role": "user", "content": [RESULT_WIRE, {"type": "text", "text": "and?"}]},
        ],
        [
            HI,
            said(
                "assistant",
                ReasoningPart(text="", provider_metadata=mine(signature="EgF0")),
                ReasoningPart(text="", provider_metadata=mine(redacted_data="opaque")),
                TextPart(text="Reading."),
                call(),
            ),
            said("tool", RESULT),
            said("user", TextPart(text="and?")),
        ],
        id="a tool round with thinking of which only the signature is shown",
    ),
    pytest.param(
        [
            HI_WIRE,
            {"role": "assistant", "content": [CALL_WIRE, {**CALL_WIRE, "id": "toolu_2", "input": {}}]},
            {
                "role": "user",
                "content": [
                    {**RESULT_WIRE, "content": "", "is_error": True},
                    {
                        "type": "tool_result",
                        "tool_use_id": "toolu_2",
                        "content": [
                            {"type": "text", "text": "see"},
                            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
                        ],
                        "cache_control": MARK,
                    },
                ],
            },
        ],
        [
            HI,
            said("assistant", call(), call("toolu_2", arguments="{}")),
            said(
                "tool",
                ToolResultPart(call_id="toolu_1", is_error=True),
                ToolResultPart(
                    call_id="toolu_2",
                    parts=(TextPart(text="see"), ImagePart(media_type="image/png", data="aGk=")),
                    cache=CacheMark(),
                ),
            ),
        ],
        id="an empty error, and a result of text and image",
    ),
    pytest.param(
        [
            HI_WIRE,
            {
                "role": "assistant",
                "content": [
                    {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}},
                    {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
                    {"type": "text", "text": "Found."},
                ],
            },
            HI_WIRE,
        ],
        [
            HI,
            said(
                "assistant",
                TextPart(
                    text="",
                    provider_metadata=mine(
                        block=raw(
                            {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}}
                        )
                    ),
                ),
                TextPart(
                    text="",
                    provider_metadata=mine(
                        block=raw({"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []})
                    ),
                ),
                TextPart(text="Found."),
            ),
            HI,
        ],
        id="what ran at the upstream",
    ),
    pytest.param(
        [
            {
                "role": "user",
                "content": [
                    {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "One."},
                     "title": "Notes"},
                    {"type": "search_result", "source": "https://a.example", "title": "A",
                     "content": [{"type": "text", "text": "Two."}]},
                    {"type": "container_upload", "file_id": "file_1"},
                ],
            }
        ],
        [
            said(
                "user",
                TextPart(
                    text="Notes\nOne.",
                    provider_metadata=mine(
                        block=raw(
                            {
                                "type": "document",
                                "source": {"type": "text", "media_type": "text/plain", "data": "One."},
                                "title": "Notes",
                            }
                        )
                    ),
                ),
                TextPart(
                    text="A\nhttps://a.example\nTwo.",
                    provider_metadata=mine(
                        block=raw(
                            {
                                "type": "search_result",
                                "source": "https://a.example",
                                "title": "A",
                                "content": [{"type": "text", "text": "Two."}],
                            }
                        )
                    ),
                ),
                TextPart(
                    text="", provider_metadata=mine(block=raw({"type": "container_upload", "file_id": "file_1"}))
                ),
            )
        ],
        id="blocks of this dialect alone, with the text others can read",
    ),
    pytest.param(
        [
            {
                "role": "user",
                "content": [
                    {"type": "image", "source": {"type": "file", "file_id": "file_1"}, "cache_control": MARK},
                    {"type": "document", "source": {"type": "file", "file_id": "file_2"}, "title": "b.pdf"},
                ],
            }
        ],
        [
            said(
                "user",
                FilePart(
                    file_id="file_1",
                    cache=CacheMark(),
                    provider_metadata=mine(
                        block=raw({"type": "image", "source": {"type": "file", "file_id": "file_1"}})
                    ),
                ),
                FilePart(
                    file_id="file_2",
                    name="b.pdf",
                    provider_metadata=mine(
                        block=raw(
                            {"type": "document", "source": {"type": "file", "file_id": "file_2"}, "title": "b.pdf"}
                        )
                    ),
                ),
            )
        ],
        id="files that lie at the upstream",
    ),
    pytest.param(
        [
            HI_WIRE,
            {"role": "assistant", "content": [{**CALL_WIRE, "caller": {"type": "direct"}}]},
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "toolu_1",
                        "content": [{"type": "tool_reference", "tool_name": "grep"}],
                    }
                ],
            },
        ],
        [
            HI,
            said("assistant", call(provider_metadata=mine(caller=raw({"type": "direct"})))),
            said(
                "tool",
                ToolResultPart(
                    call_id="toolu_1",
                    parts=(
                        TextPart(
                            text="",
                            provider_metadata=mine(block=raw({"type": "tool_reference", "tool_name": "grep"})),
                        ),
                    ),
                ),
            ),
        ],
        id="fields and blocks that only this dialect knows, within calls and results",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("wire", "messages"), TURNS)
def test_turns_come_in_and_go_out(decode, encode, wire, messages):
    request = decode(messages=wire)
    assert list(request.messages) == messages
    assert request.losses == ()
    sent, losses = encode(request)
    assert sent["messages"] == wire
    assert losses == []


FIELDS = [
    pytest.param({"system": "Be brief."}, {"messages": (said("system", TextPart(text="Be brief.")), HI)}, id="system"),
    pytest.param(
        {"system": [{"type": "text", "text": "One."}, {"type": "text", "text": "Two.", "cache_control": MARK}]},
        {"messages": (said("system", TextPart(text="One."), TextPart(text="Two.", cache=CacheMark())), HI)},
        id="system blocks",
    ),
    pytest.param(
        {"temperature": 0.5, "top_k": 4, "stop_sequences": ["END"], "stream": True},
        {"sampling": Sampling(temperature=0.5, top_k=4, stop=("END",)), "stream": True},
        id="sampling",
    ),
    pytest.param({"top_p": 0.5}, {"sampling": Sampling(top_p=0.5)}, id="top_p"),
    pytest.param({"metadata": {"user_id": "u-1"}}, {"user": "u-1"}, id="user"),
    pytest.param(
        {
            "service_tier": "auto",
            "container": "c-1",
            "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        },
        {
            "extensions": mine(
                service_tier=raw("auto"),
                container=raw("c-1"),
                context_management=raw({"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}),
            )
        },
        id="fields of this dialect alone",
    ),
    pytest.param({"thinking": {"type": "disabled"}}, {"reasoning": Reasoning(effort="none")}, id="no thinking"),
    pytest.param(
        {"max_tokens": 32000, "thinking": {"type": "enabled", "budget_tokens": 31999, "display": "omitted"}},
        {"max_output_tokens": 32000, "reasoning": Reasoning(budget_tokens=31999, summary="omitted")},
        id="a budget to think, not shown",
    ),
    pytest.param(
        {"thinking": {"type": "adaptive", "display": "summarized"}},
        {"reasoning": Reasoning(adaptive=True, summary="auto")},
        id="adaptive thinking",
    ),
    pytest.param(
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": "xhigh"}},
        {"reasoning": Reasoning(adaptive=True, effort="xhigh")},
        id="adaptive thinking by effort",
    ),
    pytest.param(
        {"output_config": {"effort": "low"}},
        {"extensions": mine(output_config=raw({"effort": "low"}))},
        id="effort without thinking is no thinking",
    ),
    pytest.param(
        {"thinking": {"type": "between_tools"}},
        {"extensions": mine(thinking=raw({"type": "between_tools"}))},
        id="a way to think nobody here knows",
    ),
    pytest.param(
        {"output_config": {"format": {"type": "json_schema", "schema": {**SCHEMA, "additionalProperties": False}}}},
        {"response_format": ResponseFormat(kind="json_schema", schema=raw({**SCHEMA, "additionalProperties": False}))},
        id="structured output",
    ),
    pytest.param(
        {"tools": [READ, {**READ, "name": "grep", "description": "Finds.", "strict": True, "cache_control": MARK}]},
        {
            "tools": (
                Tool(name="read", parameters=raw(SCHEMA)),
                Tool(name="grep", description="Finds.", parameters=raw(SCHEMA), strict=True, cache=CacheMark()),
            )
        },
        id="tools",
    ),
    pytest.param(
        {"tools": [{**READ, "defer_loading": True, "eager_input_streaming": True}]},
        {
            "tools": (
                Tool(
                    name="read",
                    parameters=raw(SCHEMA),
                    provider_metadata=mine(defer_loading=raw(True), eager_input_streaming=raw(True)),
                ),
            )
        },
        id="tools with fields of this dialect alone",
    ),
    pytest.param(
        {
            "tools": [
                {"type": "web_search_20250305", "name": "web_search", "max_uses": 5, "cache_control": MARK},
                {"type": "bash_20250124", "name": "bash"},
                {"type": "mcp_toolset", "mcp_server_name": "a"},
                {"type": "mcp_toolset", "mcp_server_name": "b"},
            ]
        },
        {
            "tools": (
                Tool(
                    name="web_search",
                    kind="builtin",
                    cache=CacheMark(),
                    provider_metadata=mine(
                        declaration=raw({"type": "web_search_20250305", "name": "web_search", "max_uses": 5})
                    ),
                ),
                Tool(
                    name="bash",
                    kind="builtin",
                    provider_metadata=mine(declaration=raw({"type": "bash_20250124", "name": "bash"})),
                ),
                Tool(
                    name="mcp_toolset",
                    kind="builtin",
                    provider_metadata=mine(declaration=raw({"type": "mcp_toolset", "mcp_server_name": "a"})),
                ),
                Tool(
                    name="mcp_toolset",
                    kind="builtin",
                    provider_metadata=mine(declaration=raw({"type": "mcp_toolset", "mcp_server_name": "b"})),
                ),
            )
        },
        id="typed tools",
    ),
    *(
        pytest.param(
            {"tools": [READ], "tool_choice": wire},
            {"tools": (Tool(name="read", parameters=raw(SCHEMA)),), "tool_choice": choice},
            id=f"choice {wire}",
        )
        for wire, choice in (
            ({"type": "auto"}, ToolChoice(mode="auto")),
            ({"type": "any"}, ToolChoice(mode="required")),
            ({"type": "none"}, ToolChoice(mode="none")),
            ({"type": "tool", "name": "read"}, ToolChoice(mode="tool", name="read")),
            ({"type": "auto", "disable_parallel_tool_use": True}, ToolChoice(mode="auto", parallel=False)),
        )
    ),
]


@pytest.mark.parametrize(("wire", "fields"), FIELDS)
def test_fields_come_in_and_go_out(decode, encode, wire, fields):
    request = decode(**wire)
    assert request == msgspec.structs.replace(ChatRequest(model="m", messages=(HI,), max_output_tokens=100), **fields)
    sent, losses = encode(request)
    assert sent == {"model": "m", "max_tokens": 100, "messages": [HI_WIRE], **wire}
    assert losses == []


INWARD = [
    pytest.param({"messages": [{"role": "user", "content": "hi"}]}, {"messages": (HI,)}, id="content in a string"),
    pytest.param({"messages": [{"role": "user", "content": ""}]}, {"messages": (said("user"),)}, id="empty content"),
    pytest.param(
        {"messages": [HI_WIRE, {"role": "system", "content": "Mind."}, HI_WIRE]},
        {"messages": (HI, said("system", TextPart(text="Mind.")), HI)},
        id="a system turn in mid-conversation",
    ),
    pytest.param(
        {
            "messages": [
                HI_WIRE,
                ASKED_WIRE,
                {"role": "user", "content": [{"type": "text", "text": "and?"}, RESULT_WIRE]},
            ]
        },
        {"messages": (HI, said("assistant", call()), said("tool", RESULT), said("user", TextPart(text="and?")))},
        id="results stand apart from the user's words",
    ),
    pytest.param(
        {"messages": [HI_WIRE, ASKED_WIRE, {"role": "user", "content": [BARE_WIRE]}]},
        {"messages": (HI, said("assistant", call()), said("tool", ToolResultPart(call_id="toolu_1")))},
        id="a result without content",
    ),
    pytest.param(
        {"messages": [HI_WIRE, ASKED_WIRE, HI_WIRE, HI_WIRE, {"role": "user", "content": [BARE_WIRE]}]},
        {"messages": (HI, said("assistant", call()), HI, HI, said("tool", ToolResultPart(call_id="toolu_1")))},
        id="a result further from its call than the service takes",
    ),
    pytest.param(
        {"messages": [HI_WIRE, {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm"}]}]},
        {"messages": (HI, said("assistant", ReasoningPart(text="Hm")))},
        id="unsigned thinking",
    ),
    pytest.param(
        {"output_format": {"type": "json_schema", "schema": SCHEMA}},
        {"response_format": ResponseFormat(kind="json_schema", schema=raw(SCHEMA))},
        id="the older field for structured output",
    ),
    pytest.param(
        {"tools": [{**READ, "type": "custom", "input_schema": None}]},
        {"tools": (Tool(name="read"),)},
        id="a custom tool by type, without a schema",
    ),
    pytest.param(
        {"tools": [READ], "tool_choice": {"type": "any", "disable_parallel_tool_use": False}},
        {
            "tools": (Tool(name="read", parameters=raw(SCHEMA)),),
            "tool_choice": ToolChoice(mode="required", parallel=True),
        },
        id="parallel calls allowed outright",
    ),
    pytest.param(
        {"metadata": {"user_id": "u", "team": "t"}},
        {"user": "u", "extensions": mine(metadata=raw({"team": "t"}))},
        id="metadata beyond the user",
    ),
]


@pytest.mark.parametrize(("wire", "fields"), INWARD)
def test_other_forms_are_taken_too(decode, wire, fields):
    assert decode(**wire) == msgspec.structs.replace(
        ChatRequest(model="m", messages=(HI,), max_output_tokens=100), **fields
    )


def test_the_input_of_a_call_stays_the_text_it_was(translator):
    body = (
        b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":'
        b'[{"type":"tool_use","id":"toolu_1","name":"t","input":{ "b":1.0,"a" : "\\u00e9" }}]}]}'
    )
    request = translator.decode_request(body, {}, Headers({}))
    assert request.messages[1].parts[0].arguments == '{ "b":1.0,"a" : "\\u00e9" }'
    assert b'"input":{ "b":1.0,"a" : "\\u00e9" }' in translator.encode_request(request).body


@pytest.mark.parametrize(
    ("wire", "param"),
    [
        pytest.param({"messages": [HI_WIRE, {"role": "tool", "content": "x"}]}, "/messages/1/role", id="role tool"),
        pytest.param({"messages": [{"content": "x"}]}, "/messages/0/role", id="no role"),
        pytest.param(
            {"messages": [{"role": "user", "content": [HI_WIRE["content"][0], RESULT_WIRE]}]},
            "/messages/0/content/1/tool_use_id",
            id="a result without a call",
        ),
        pytest.param(
            {
                "messages": [
                    ASKED_WIRE,
                    {"role": "user", "content": [RESULT_WIRE, {**RESULT_WIRE, "tool_use_id": "t2"}]},
                ]
            },
            "/messages/1/content/1/tool_use_id",
            id="a result of another call",
        ),
        pytest.param(
            {"messages": [{"role": "user", "content": [RESULT_WIRE]}, ASKED_WIRE]},
            "/messages/0/content/0/tool_use_id",
            id="a result before its call",
        ),
        pytest.param(
            {"tools": [READ, {"name": "b", "input_schema": {"$ref": "#"}}]},
            "/tools/1/input_schema/$ref",
            id="a schema that is itself",
        ),
        pytest.param(
            {"output_config": {"format": {"type": "json_schema", "schema": {"not": {"$ref": "#"}}}}},
            "/output_config/format/schema/not/$ref",
            id="an answer's schema that is itself",
        ),
        pytest.param(
            {"output_format": {"type": "json_schema", "schema": [SCHEMA]}},
            "/output_format/schema",
            id="an answer's schema that is a list",
        ),
        pytest.param({"messages": [7]}, "/messages/0", id="a number for a message"),
        pytest.param({"messages": [{"role": "user", "content": 7}]}, "/messages/0/content", id="content 7"),
        pytest.param(
            {"messages": [HI_WIRE, HI_WIRE, HI_WIRE, {"role": "user", "content": [{"type": "hologram"}]}]},
            "/messages/3/content/0/type",
            id="an unknown block",
        ),
        pytest.param(
            {"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "/messages/0/content/0/type", id="no type"
        ),
        pytest.param(
            {"messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}]},
            "/messages/0/content/0/text",
            id="a number for text",
        ),
        pytest.param(
            {"messages": [{"role": "user", "content": [CALL_WIRE]}]},
            "/messages/0/content/0/type",
            id="a call of the user",
        ),
        pytest.param(
            {"messages": [HI_WIRE, {"role": "assistant", "content": [RESULT_WIRE]}]},
            "/messages/1/content/0/type",
            id="a result of the assistant",
        ),
        pytest.param(
            {"messages": [HI_WIRE, {"role": "assistant", "content": [{**CALL_WIRE, "input": "x"}]}]},
            "/messages/1/content/0/input",
            id="input in a string",
        ),
        pytest.param(
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "ftp"}}]}]},
            "/messages/0/content/0/source/type",
            id="an unknown source",
        ),
        *(
            pytest.param(
                {
                    "messages": [
                        {
                            "role": "user",
                            "content": [
                                {"type": kind, "source": {"type": "base64", "media_type": "image/png", "data": data}}
                            ],
                        }
                    ]
                },
                "/messages/0/content/0/source/data",
                id=f"{kind} of {data or 'nothing'}",
            )
            for kind in ("image", "document")
            for data in ("%%%", "AAA", "")
        ),
        pytest.param(
            {"messages": [{"role": "user", "content": [{**RESULT_WIRE, "content": [CALL_WIRE]}]}]},
            "/messages/0/content/0/content/0/type",
            id="a call within a result",
        ),
        pytest.param({"system": [{"type": "image"}]}, "/system/0/source", id="an image for a system text"),
        pytest.param({"system": [CALL_WIRE]}, "/system/0/type", id="a call for a system text"),
        pytest.param(
            {"system": [{"type": "text", "text": "x", "cache_control": {"type": "eternal"}}]},
            "/system/0/cache_control/type",
            id="a cache mark of another kind",
        ),
        pytest.param(
            {"system": [{"type": "text", "text": "x", "cache_control": {**MARK, "ttl": "2h"}}]},
            "/system/0/cache_control/ttl",
            id="an odd time to live",
        ),
        pytest.param({"tools": {"name": "t"}}, "/tools", id="tools that are no list"),
        pytest.param({"tools": [READ, {"input_schema": SCHEMA}]}, "/tools/1/name", id="a tool without a name"),
        pytest.param({"tools": [{**READ, "input_schema": "x"}]}, "/tools/0/input_schema", id="a schema in a string"),
        pytest.param({"tool_choice": {"type": "maybe"}}, "/tool_choice/type", id="an unknown choice"),
        pytest.param({"tool_choice": {"type": "tool"}}, "/tool_choice/name", id="a choice of no tool"),
        pytest.param({"thinking": {"type": "enabled"}}, "/thinking/budget_tokens", id="a budget left out"),
        pytest.param(
            {"thinking": {"type": "enabled", "budget_tokens": 0}}, "/thinking/budget_tokens", id="a budget of 0"
        ),
        pytest.param(
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "huge"}},
            "/output_config/effort",
            id="an unknown effort",
        ),
        pytest.param({"output_config": {"format": {"type": "xml"}}}, "/output_config/format/type", id="another format"),
    ],
)
def test_what_is_wrong_is_named_by_its_pointer(decode, wire, param):
    with pytest.raises(InvalidRequest) as caught:
        decode(**wire)
    assert caught.value.param == param


def test_a_text_document_is_text_for_other_dialects(decode):
    source = {"type": "content", "content": [{"type": "text", "text": "One."}, {"type": "text", "text": "Two."}]}
    request = decode(messages=[{"role": "user", "content": [{"type": "document", "source": source, "title": "T"}]}])
    assert request.messages[0].parts[0].text == "T\nOne.\nTwo."


def test_a_file_in_base64_is_not_touched(decode):
    data = base64.b64encode(bytes(range(256))).decode()
    source = {"type": "base64", "media_type": "image/webp", "data": data}
    request = decode(messages=[{"role": "user", "content": [{"type": "image", "source": source}]}])
    assert request.messages[0].parts[0].data == data
