"""Pairs of a wire value and its canonical form: each is decoded, and encoded back."""

import msgspec
import pytest
from msgspec import Raw

from omniroute.api import (
    AudioPart,
    FilePart,
    ImagePart,
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
HI_WIRE = {"role": "user", "parts": [{"text": "hi"}]}
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}


def raw(value):
    return Raw(msgspec.json.encode(value))


def said(role, *parts):
    return Message(role=role, parts=parts)


def mine(**fields):
    return {"gemini": fields}


def call(call_id="c1", name="read", arguments='{"path":"a"}', **more):
    return ToolCallPart(id=call_id, name=name, arguments=arguments, **more)


def result(*parts, call_id="c1", **more):
    return ToolResultPart(call_id=call_id, name="read", parts=parts, **more)


def call_wire(**more):
    return {"functionCall": {"id": "c1", "name": "read", "args": {"path": "a"}}, **more}


def result_wire(response, **more):
    return {"functionResponse": {"id": "c1", "name": "read", "response": response, **more}}


def round_of(response, *parts, **more):
    """A call and its result, on the wire and canonical."""
    return (
        [HI_WIRE, {"role": "model", "parts": [call_wire()]}, {"role": "user", "parts": [result_wire(response)]}],
        [HI, said("assistant", call()), said("tool", result(*parts, **more))],
    )


BLOB = {"inlineData": {"mimeType": "image/png", "data": "aGk="}}

TURNS = [
    pytest.param([HI_WIRE], [HI], id="text"),
    pytest.param(
        [{"role": "user", "parts": [{"text": "a"}, BLOB, {"text": "b"}]}],
        [said("user", TextPart(text="a"), ImagePart(media_type="image/png", data="aGk="), TextPart(text="b"))],
        id="an image between texts",
    ),
    pytest.param(
        [
            {
                "role": "user",
                "parts": [
                    {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0="}},
                    {"inlineData": {"mimeType": "audio/wav", "data": "aGk="}},
                    {"inlineData": {"mimeType": "video/mp4", "data": "aGk="}, "videoMetadata": {"fps": 1}},
                    {"fileData": {"fileUri": "https://papers.example/1.pdf", "mimeType": "application/pdf"}},
                    {"fileData": {"fileUri": "https://pictures.example/1", "mimeType": "image/png"}},
                ],
            }
        ],
        [
            said(
                "user",
                FilePart(media_type="application/pdf", data="JVBERi0="),
                AudioPart(format="wav", data="aGk="),
                FilePart(media_type="video/mp4", data="aGk=", provider_metadata=mine(videoMetadata=raw({"fps": 1}))),
                FilePart(media_type="application/pdf", url="https://papers.example/1.pdf"),
                ImagePart(media_type="image/png", url="https://pictures.example/1"),
            )
        ],
        id="documents, sounds, films and links",
    ),
    pytest.param(
        [{"role": "user", "parts": [{"fileData": {"fileUri": "gs://bucket/a.pdf", "mimeType": "application/pdf"}}]}],
        [
            said(
                "user",
                FilePart(
                    media_type="application/pdf",
                    file_id="gs://bucket/a.pdf",
                    provider_metadata=mine(
                        part=raw({"fileData": {"fileUri": "gs://bucket/a.pdf", "mimeType": "application/pdf"}})
                    ),
                ),
            )
        ],
        id="a file that lies at the vendor",
    ),
    pytest.param(
        [
            HI_WIRE,
            {
                "role": "model",
                "parts": [
                    {"text": "Hm.", "thought": True},
                    {"text": "Reading.", "thoughtSignature": "dGV4dA=="},
                    call_wire(thoughtSignature="Y2FsbA=="),
                ],
            },
            {"role": "user", "parts": [result_wire({"result": "noon"}), {"text": "and?"}]},
        ],
        [
            HI,
            said(
                "assistant",
                ReasoningPart(text="Hm."),
                TextPart(text="Reading.", provider_metadata=mine(thought_signature="dGV4dA==")),
                call(provider_metadata=mine(thought_signature="Y2FsbA==")),
            ),
            said("tool", result(TextPart(text="noon"))),
            said("user", TextPart(text="and?")),
        ],
        id="a tool round with thinking and signatures",
    ),
    pytest.param(*round_of({"result": ""}), id="a result of nothing"),
    pytest.param(
        *round_of({"temp": 5, "at": [1]}, TextPart(text='{"temp":5,"at":[1]}')), id="a result that is an object"
    ),
    pytest.param(*round_of({"error": "no file"}, TextPart(text="no file"), is_error=True), id="a result of a failure"),
    pytest.param(
        [
            HI_WIRE,
            {
                "role": "model",
                "parts": [
                    {"executableCode": {"language": "PYTHON", "code": "1+1"}},
                    {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2\n"}},
                    {"text": "Two."},
                ],
            },
            HI_WIRE,
        ],
        [
            HI,
            said(
                "assistant",
                TextPart(
                    text="\n```python\n1+1\n```\n",
                    provider_metadata=mine(part=raw({"executableCode": {"language": "PYTHON", "code": "1+1"}})),
                ),
                TextPart(
                    text="\n```\n2\n```\n",
                    provider_metadata=mine(
                        part=raw({"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2\n"}})
                    ),
                ),
                TextPart(text="Two."),
            ),
            HI,
        ],
        id="code that ran at the vendor",
    ),
]


@pytest.mark.parametrize(("wire", "messages"), TURNS)
def test_contents_are_read_and_written(decode, encode, wire, messages):
    request = decode(contents=wire)
    assert list(request.messages) == messages
    again, losses = encode(request)
    assert (again["contents"], losses) == (wire, [])


FIELDS = [
    pytest.param(
        {"systemInstruction": {"parts": [{"text": "Be brief."}]}},
        {"messages": (said("system", TextPart(text="Be brief.")), HI)},
        id="system",
    ),
    pytest.param(
        {
            "generationConfig": {
                "maxOutputTokens": 9,
                "temperature": 0.5,
                "topP": 0.9,
                "topK": 40,
                "stopSequences": ["x", "y"],
                "seed": -7,
                "presencePenalty": 1.0,
                "frequencyPenalty": -1.0,
            }
        },
        {
            "max_output_tokens": 9,
            "sampling": Sampling(
                temperature=0.5,
                top_p=0.9,
                top_k=40,
                stop=("x", "y"),
                seed=-7,
                presence_penalty=1.0,
                frequency_penalty=-1.0,
            ),
        },
        id="sampling",
    ),
    pytest.param(
        {"tools": [{"functionDeclarations": [{"name": "read", "description": "d", "parametersJsonSchema": SCHEMA}]}]},
        {"tools": (Tool(name="read", description="d", parameters=raw(SCHEMA)),)},
        id="a function",
    ),
    pytest.param(
        {
            "tools": [
                {"googleSearch": {}},
                {"functionDeclarations": [{"name": "a"}, {"name": "b", "responseJsonSchema": {"type": "string"}}]},
            ]
        },
        {
            "tools": (
                Tool(
                    name="googleSearch", kind="builtin", provider_metadata=mine(declaration=raw({"googleSearch": {}}))
                ),
                Tool(name="a"),
                Tool(name="b", provider_metadata=mine(responseJsonSchema=raw({"type": "string"}))),
            )
        },
        id="a search beside functions without arguments",
    ),
    *[
        pytest.param(
            {
                "tools": [{"functionDeclarations": [{"name": "a"}, {"name": "b"}]}],
                "toolConfig": {"functionCallingConfig": config},
            },
            {"tool_choice": choice},
            id=f"choice {config['mode']} {config.get('allowedFunctionNames', '')}",
        )
        for config, choice in [
            ({"mode": "AUTO"}, ToolChoice(mode="auto")),
            ({"mode": "NONE"}, ToolChoice(mode="none")),
            ({"mode": "ANY"}, ToolChoice(mode="required")),
            ({"mode": "ANY", "allowedFunctionNames": ["b"]}, ToolChoice(mode="tool", name="b")),
            ({"mode": "ANY", "allowedFunctionNames": ["a", "b"]}, ToolChoice(mode="required")),
            ({"mode": "VALIDATED"}, ToolChoice(mode="auto")),
        ]
    ],
    pytest.param(
        {"generationConfig": {"responseMimeType": "application/json"}},
        {"response_format": ResponseFormat(kind="json_object")},
        id="any JSON",
    ),
    pytest.param(
        {"generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}},
        {"response_format": ResponseFormat(kind="json_schema", schema=raw(SCHEMA))},
        id="JSON by a schema",
    ),
    pytest.param(
        {"generationConfig": {"thinkingConfig": {"thinkingBudget": 2048, "includeThoughts": True}}},
        {"reasoning": Reasoning(budget_tokens=2048, summary="auto")},
        id="a budget",
    ),
    pytest.param(
        {"generationConfig": {"thinkingConfig": {"thinkingBudget": 2048}}},
        {"reasoning": Reasoning(budget_tokens=2048, summary="omitted")},
        id="a budget, and thoughts are not shown",
    ),
    pytest.param(
        {"generationConfig": {"thinkingConfig": {"thinkingBudget": 0}}},
        {"reasoning": Reasoning(effort="none")},
        id="no thinking",
    ),
    pytest.param(
        {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}},
        {"reasoning": Reasoning(summary="auto")},
        id="thinking as the model likes",
    ),
    pytest.param(
        {
            "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
            "cachedContent": "cachedContents/1",
            "generationConfig": {"mediaResolution": "MEDIA_RESOLUTION_LOW", "responseModalities": ["TEXT"]},
            "toolConfig": {"includeServerSideToolInvocations": True},
        },
        {
            "extensions": {
                "gemini": {
                    "safetySettings": raw([{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]),
                    "cachedContent": raw("cachedContents/1"),
                    "toolConfig/includeServerSideToolInvocations": raw(True),
                    "generationConfig/mediaResolution": raw("MEDIA_RESOLUTION_LOW"),
                    "generationConfig/responseModalities": raw(["TEXT"]),
                }
            }
        },
        id="what only this dialect knows",
    ),
]


@pytest.mark.parametrize(("wire", "fields"), FIELDS)
def test_fields_are_read_and_written(decode, encode, wire, fields):
    request = decode(**wire)
    assert {name: getattr(request, name) for name in fields} == fields
    again, losses = encode(request)
    assert (again, losses) == ({"contents": [HI_WIRE], **wire}, [])


# --- what has several spellings ---------------------------------------------------------------------------------------

SNAKE = {
    "system_instruction": {"parts": [{"text": "s"}]},
    "contents": [
        {"role": "user", "parts": [{"inline_data": {"mime_type": "image/png", "data": "aGk="}}]},
        {
            "role": "model",
            "parts": [{"function_call": {"name": "f_g", "args": {"a_b": 1}}, "thought_signature": "c2ln"}],
        },
        {"role": "function", "parts": [{"function_response": {"name": "f_g", "response": {"x_y": 1}}}]},
    ],
    "tools": [
        {"function_declarations": [{"name": "f_g", "parameters_json_schema": {"type": "object", "a_b": 1}}]},
        {"google_search": {}},
    ],
    "tool_config": {"function_calling_config": {"mode": "any", "allowed_function_names": ["f_g"]}},
    "generation_config": {
        "max_output_tokens": 7,
        "stop_sequences": ["x"],
        "response_mime_type": "application/json",
        "response_json_schema": {"type": "object", "c_d": 1},
        "thinking_config": {"include_thoughts": True, "thinking_level": "low"},
        "media_resolution": "MEDIA_RESOLUTION_LOW",
    },
    "safety_settings": [],
}
CAMEL = {
    "systemInstruction": {"parts": [{"text": "s"}]},
    "contents": [
        {"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": "aGk="}}]},
        {"role": "model", "parts": [{"functionCall": {"name": "f_g", "args": {"a_b": 1}}, "thoughtSignature": "c2ln"}]},
        {"parts": [{"functionResponse": {"name": "f_g", "response": {"x_y": 1}}}]},
    ],
    "tools": [
        {"functionDeclarations": [{"name": "f_g", "parametersJsonSchema": {"type": "object", "a_b": 1}}]},
        {"googleSearch": {}},
    ],
    "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f_g"]}},
    "generationConfig": {
        "maxOutputTokens": 7,
        "stopSequences": ["x"],
        "responseMimeType": "application/json",
        "responseJsonSchema": {"type": "object", "c_d": 1},
        "thinkingConfig": {"includeThoughts": True, "thinkingLevel": "LOW"},
        "mediaResolution": "MEDIA_RESOLUTION_LOW",
    },
    "safetySettings": [],
}


def test_snake_case_is_read_as_camel_case_at_every_level(decode):
    """And the keys of arguments, results and schemas are the user's own."""
    request = decode(**SNAKE)
    assert request == decode(**CAMEL)
    assert request.messages[2].parts[0].arguments == '{"a_b":1}'
    assert request.messages[3].parts[0].parts == (TextPart(text='{"x_y":1}'),)
    assert msgspec.json.decode(request.tools[0].parameters) == {"type": "object", "a_b": 1}


@pytest.mark.parametrize(
    ("wire", "role"),
    [
        pytest.param({"parts": [{"text": "hi"}]}, "user", id="no role"),
        pytest.param({"role": "user", "parts": {"text": "hi"}}, "user", id="a lone part"),
        pytest.param({"role": "model", "parts": [{"text": "hi"}]}, "assistant", id="model"),
    ],
)
def test_contents_may_be_written_in_short(decode, wire, role):
    assert decode(contents=wire).messages == (said(role, TextPart(text="hi")),)


@pytest.mark.parametrize(
    "wire", [{"parts": [{"text": "a"}, {"text": ""}]}, {"role": "user", "parts": {"text": "a"}}, "a"], ids=repr
)
def test_a_system_instruction_is_a_content_or_a_text(decode, wire):
    assert decode(systemInstruction=wire).messages[0] == said("system", TextPart(text="a"))


def test_code_in_a_system_instruction_is_sent_as_its_words(decode, encode):
    request = decode(systemInstruction={"parts": [{"executableCode": {"code": "1", "language": "PYTHON"}}]})
    assert encode(request)[0]["systemInstruction"] == {"parts": [{"text": "\n```python\n1\n```\n"}]}


@pytest.mark.parametrize(
    ("response", "text", "is_error"),
    [
        pytest.param({"output": "noon"}, "noon", False, id="the vendor's word"),
        pytest.param({"name": "read", "content": "noon"}, "noon", False, id="as one SDK has it"),
        pytest.param({"name": "read", "content": [1, {"a": 2}]}, '[1,{"a":2}]', False, id="as one SDK has lists"),
        pytest.param({"name": "other", "content": "noon"}, '{"name":"other","content":"noon"}', False, id="an object"),
        pytest.param({"result": [1]}, '{"result":[1]}', False, id="a result that is no text"),
        pytest.param({"error": {"code": 5}}, '{"code":5}', True, id="an error that is no text"),
        pytest.param({}, "", False, id="an empty object"),
        pytest.param(None, "", False, id="nothing"),
    ],
)
def test_a_result_is_read_as_its_text(decode, response, text, is_error):
    wire, _ = round_of(response)
    [part] = decode(contents=wire).messages[-1].parts
    assert (part.parts, part.is_error) == ((TextPart(text=text),) if text else (), is_error)


def test_media_in_a_result_are_read(decode):
    parts = [BLOB, {"inlineData": {"mimeType": "audio/wav", "data": "aGk="}}]
    wire = [
        HI_WIRE,
        {"role": "model", "parts": [call_wire()]},
        {"role": "user", "parts": [result_wire({"result": "see"}, parts=parts)]},
    ]
    [part] = decode(contents=wire).messages[-1].parts
    assert part.parts == (
        TextPart(text="see"),
        ImagePart(media_type="image/png", data="aGk="),
        FilePart(media_type="audio/wav", data="aGk="),
    )


@pytest.mark.parametrize(
    ("data", "read"),
    [("-_8=", "+/8="), ("-_8", "+/8="), ("aG\nk=", "aGk=")],
    ids=["the alphabet for URLs", "no padding", "line ends"],
)
def test_data_is_handed_on_in_the_alphabet_every_dialect_takes(decode, data, read):
    wire = [{"parts": [{"inlineData": {"mimeType": "image/PNG; x=1", "data": data}}]}]
    assert decode(contents=wire).messages[0].parts == (ImagePart(media_type="image/png", data=read),)


def test_the_vendors_schemas_become_json_schemas(decode):
    own = {"type": "OBJECT", "properties": {"type": {"type": "STRING", "nullable": True}}, "required": ["type"]}
    schema = {"type": "object", "properties": {"type": {"type": ["string", "null"]}}, "required": ["type"]}
    tools = [{"functionDeclarations": [{"name": "a", "parameters": own}]}, {"functionDeclarations": [{"name": "b"}]}]
    request = decode(tools=tools, generationConfig={"responseMimeType": "application/json", "responseSchema": own})
    assert [tool.name for tool in request.tools] == ["a", "b"]
    assert msgspec.json.decode(request.tools[0].parameters) == schema
    assert msgspec.json.decode(request.response_format.schema) == schema


def test_other_forms_of_answers_stay_where_they_are(decode, encode):
    config = {"responseMimeType": "text/x.enum", "responseSchema": {"type": "STRING", "enum": ["a", "b"]}}
    request = decode(generationConfig=config)
    assert request.response_format is None
    assert encode(request)[0]["generationConfig"] == config
    assert decode(generationConfig={"responseMimeType": "text/plain"}).extensions == {}


# --- ids --------------------------------------------------------------------------------------------------------------


def unnamed(*names):
    return {"role": "model", "parts": [{"functionCall": {"name": name}} for name in names]}


def answers(*names):
    return {"role": "user", "parts": [{"functionResponse": {"name": n, "response": {"result": t}}} for n, t in names]}


def pairs(request):
    """(name, text of the result) in the order of the calls."""
    parts = [part for message in request.messages for part in message.parts]
    texts = {part.call_id: part.parts[0].text for part in parts if isinstance(part, ToolResultPart)}
    return [(part.name, texts[part.id]) for part in parts if isinstance(part, ToolCallPart)]


def test_calls_without_ids_get_their_own_and_results_answer_the_oldest_of_their_name(decode):
    contents = [
        HI_WIRE,
        unnamed("f", "g", "f"),
        answers(("g", "1"), ("f", "2"), ("f", "3")),
        unnamed("f"),
        answers(("f", "4")),
    ]
    request = decode(contents=contents)
    assert pairs(request) == [("f", "2"), ("g", "1"), ("f", "3"), ("f", "4")]
    ids = [part.id for message in request.messages for part in message.parts if isinstance(part, ToolCallPart)]
    assert len(set(ids)) == 4
    assert decode(contents=contents) == request
    longer = decode(contents=[*contents, {"role": "model", "parts": [{"text": "ok"}]}, HI_WIRE])
    assert longer.messages[: len(request.messages)] == request.messages


def test_a_result_never_answers_a_call_of_a_turn_that_is_over(decode):
    contents = [HI_WIRE, unnamed("f"), HI_WIRE, unnamed("f"), answers(("f", "2"))]
    first, second = [p.id for m in decode(contents=contents).messages for p in m.parts if isinstance(p, ToolCallPart)]
    [result_] = decode(contents=contents).messages[-1].parts
    assert (result_.call_id == second, first == second) == (True, False)


def test_ids_that_the_client_gave_are_kept(decode):
    wire, messages = round_of({"result": "x"}, TextPart(text="x"))
    assert list(decode(contents=wire).messages) == messages


def test_a_result_without_its_id_is_paired_by_name(decode):
    contents = [HI_WIRE, {"role": "model", "parts": [call_wire()]}, answers(("read", "x"))]
    assert decode(contents=contents).messages[-1].parts[0].call_id == "c1"
