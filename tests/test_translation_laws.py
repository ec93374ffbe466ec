"""What holds for every request and every answer, in every pair of dialects.

The normal form, up to which a request of a dialect comes back from its canonical form (docs/translation.md tells users of it): a
text alone is a list with that one text, system texts keep their order, tool results follow their calls, fields that say what
their absence says are absent, and ids of items that nobody refers to are gone. Everything else is equal: the order of all
blocks, call ids, names, the very text of arguments, schemas, limits.
"""

import copy
import json
import os
import random
from itertools import product
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omniroute.api import GatewayError, InvalidRequest, Usage
from omniroute.streaming import collect
from omniroute.testing import Recording, Reply, sse
from omniroute.testing.dialects import VOICES, Answered, Asked, Block, Call, Pair, Voice, installed_translators, written

ROOT = Path(__file__).parent
TRANSLATORS = {dialect: found for dialect, found in installed_translators().items() if dialect in VOICES}
PAIRS = {f"{c} to {u}": Pair(TRANSLATORS[c], TRANSLATORS[u]) for c, u in product(TRANSLATORS, TRANSLATORS)}
LAW = settings(
    max_examples=int(os.environ.get("OMNIROUTE_TEST_EXAMPLES", "15")),
    deadline=None,
    derandomize="CI" in os.environ,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
every_pair = pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
every_dialect = pytest.mark.parametrize("dialect", TRANSLATORS)


# --- requests ---------------------------------------------------------------------------------------------------------

TEXT = st.text(
    st.characters(exclude_categories=("Cs", "Cc")) | st.sampled_from('\n"\\\u2028😀'), min_size=1, max_size=25
)
WORDS = TEXT.map(lambda text: f"w{text}w")  # neither blank nor like JSON, and without white space at its ends
NAMES = st.from_regex(r"[a-z_][a-zA-Z0-9_-]{0,30}", fullmatch=True)
IDS = st.from_regex(r"[a-zA-Z0-9_-]{1,30}", fullmatch=True)
PICTURES = st.sampled_from(["iVBORw0KGgo=", "https://pictures.example/a.png"])
PROPERTIES = NAMES | st.sampled_from(["type", "format", "title", "default", "items", "required", "enum", "$ref"])
LEAVES = st.sampled_from(
    [
        {"type": "string", "description": "words"},
        {"type": "integer"},
        {"type": "boolean"},
        {"type": "array", "items": {"type": "string"}},
        {"type": "string", "enum": ["a", "b"]},
    ]
)


def objects(inner):
    return st.dictionaries(PROPERTIES, inner, min_size=1, max_size=3).map(
        lambda properties: {"type": "object", "properties": properties, "required": sorted(properties)[:1]}
    )


SCHEMAS = objects(LEAVES | objects(LEAVES))
CLOSED_SCHEMAS = objects(LEAVES).map(lambda schema: {**schema, "additionalProperties": False})
"""One of the services takes no others for its answers."""
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
SPACES = st.sampled_from([(",", ":"), (", ", ": "), (" ,\t ", " :\t")])
ARGUMENTS = st.builds(
    lambda value, spaces, plain: spelt(json.dumps(value, separators=spaces, ensure_ascii=plain)),
    st.dictionaries(TEXT, VALUES, max_size=3),
    SPACES,
    st.booleans(),
)


def spelt(text):
    """Two separators are written as escapes where a stream's reader would take them for line ends."""
    return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


LIMITS = st.fixed_dictionaries(
    {},
    optional={
        "max_tokens": st.integers(16, 4000),
        "temperature": st.sampled_from([0, 0.5, 1]),
        "top_p": st.sampled_from([0.5, 0.95]),
        "top_k": st.integers(1, 40),
        "stop": st.lists(WORDS, min_size=1, max_size=4, unique=True),
        "seed": st.integers(-(2**31), 2**31 - 1),
    },
)
SAYS = {
    "openai-chat": {"max_tokens", "temperature", "top_p", "stop", "seed"},
    "openai-responses": {"max_tokens", "temperature", "top_p"},
    "anthropic": {"max_tokens", "temperature", "top_p", "top_k", "stop"},
    "gemini": {"max_tokens", "temperature", "top_p", "top_k", "stop", "seed"},
}
"""The limits that a dialect has a field for."""
MARKS_ERRORS = {"anthropic", "gemini"}


@st.composite
def requests(draw):
    tools = draw(st.dictionaries(NAMES, SCHEMAS, max_size=3))
    ids = iter(draw(st.lists(IDS, min_size=9, max_size=9, unique=True)))
    blocks = []
    for _ in range(draw(st.integers(1, 3))):
        blocks += draw(
            st.lists(st.builds(Block, role=st.just("user"), kind=st.just("text"), text=WORDS), min_size=1, max_size=2)
        )
        blocks += [Block(role="user", kind="image", data=data) for data in draw(st.lists(PICTURES, max_size=1))]
        called = draw(st.lists(st.sampled_from(sorted(tools)), max_size=3)) if tools else []
        if not called or draw(st.booleans()):
            blocks.append(Block(role="assistant", kind="text", text=draw(WORDS)))
        calls = [Block(role="assistant", kind="call", id=next(ids), name=name, text=draw(ARGUMENTS)) for name in called]
        results = [
            Block(
                role="user", kind="result", id=call.id, name=call.name, text=draw(WORDS), is_error=draw(st.booleans())
            )
            for call in calls
        ]
        blocks += [*calls, *results]
    if blocks[-1].role == "assistant":
        blocks.append(Block(role="user", kind="text", text="and?"))
    choices = [None, "auto", "none", "required", *(f":{name}" for name in tools)]
    return Asked(
        system=draw(st.lists(WORDS, max_size=2)),
        blocks=blocks,
        tools=tools,
        descriptions={name: draw(WORDS) for name in tools},
        choice=draw(st.sampled_from(choices)) if tools else None,
        limits=draw(LIMITS),
        schema=draw(st.none() | CLOSED_SCHEMAS),
    )


def sayable(asked, dialect):
    """The request as far as a client of this dialect can say it."""
    limits = {name: value for name, value in asked.limits.items() if name in SAYS[dialect]}
    if dialect == "anthropic":
        limits.setdefault("max_tokens", 4000)
    blocks = [
        block if dialect in MARKS_ERRORS else msgspec.structs.replace(block, is_error=False) for block in asked.blocks
    ]
    return msgspec.structs.replace(asked, limits=limits, blocks=blocks)


def normal(asked, *, errors=True):
    """What is compared of two requests: see the top of this file."""
    said = [
        (block.role, block.kind, block.text, block.data) for block in asked.blocks if block.kind in {"text", "image"}
    ]
    results = [
        (asked.answers(block), block.text.removeprefix("Error: "), block.is_error and errors)
        for block in asked.of("result")
    ]
    return {
        "system": "\n\n".join(asked.system),
        "said": said,
        "calls": [(call.id, call.name, call.text) for call in asked.of("call")],
        "results": results,
        "tools": asked.tools,
        "descriptions": asked.descriptions,
        "choice": asked.choice,
        "wants_schema": asked.schema is not None,
    }


def encoded(dialect, body):
    pair = Pair(TRANSLATORS[dialect], TRANSLATORS[dialect])
    return pair.encode(pair.decode(body, VOICES[dialect].path("m", stream=False))).body


@every_dialect
@LAW
@given(asked=requests(), terse=st.booleans())
def test_a_request_comes_back_from_its_canonical_form(dialect, asked, terse):
    asked = sayable(asked, dialect)
    body = msgspec.json.encode(written(dialect, asked, "m", terse=terse))
    first = encoded(dialect, body)
    found = VOICES[dialect].asked(first)
    assert normal(found) == normal(VOICES[dialect].asked(body)) == normal(asked)
    assert (found.limits, found.schema) == (asked.limits, asked.schema)
    assert encoded(dialect, first) == first


@every_pair
@LAW
@given(asked=requests(), terse=st.booleans())
def test_a_request_says_the_same_in_another_dialect(pair, asked, terse):
    client, upstream = pair.client.dialect, pair.upstream.dialect
    asked = sayable(asked, client)
    body = msgspec.json.encode(written(client, asked, "m", terse=terse))
    request = pair.decode(body, VOICES[client].path("m", stream=False))
    outgoing = pair.encode(request)
    refusal = VOICES[upstream].validate(pair.received(request, outgoing))
    assert refusal is None, refusal.body
    found = VOICES[upstream].asked(outgoing.body)
    errors = upstream in MARKS_ERRORS
    assert normal(found, errors=errors) == normal(asked, errors=errors)
    lost = [loss.pointer.lower().replace("_", "") for loss in outgoing.losses]
    for name, value in asked.limits.items():
        assert found.limits.get(name) == value or any(name.replace("_", "") in pointer for pointer in lost), (
            f"{name} is lost: {lost}"
        )
    if not errors and any(block.is_error for block in asked.blocks):
        assert any(pointer.endswith("error") for pointer in lost)


ODD_NAMES = st.lists(
    st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=128), min_size=1, max_size=5, unique=True
)


@every_pair
@LAW
@given(names=ODD_NAMES)
def test_tool_names_are_mapped_to_distinct_ones_and_back(pair, names):
    """The client's dialect may forbid some of them; what matters is that none is mixed up on its way."""
    client, upstream = VOICES[pair.client.dialect], VOICES[pair.upstream.dialect]
    tools = {name: {"type": "object", "properties": {"a": {"type": "string"}}} for name in names}
    asked = Asked(
        blocks=[Block(role="user", kind="text", text="hi")], tools=tools, descriptions=dict.fromkeys(names, "d")
    )
    body = msgspec.json.encode(written(client.dialect, asked, "m"))
    request = pair.decode(body, client.path("m", stream=False))
    outgoing = pair.encode(request)
    received = pair.received(request, outgoing)
    assert upstream.validate(received) is None
    sent = list(upstream.asked(outgoing.body).tools)
    assert len(sent) == len(names)
    calls = tuple(Call(id=f"c{number}", name=name, arguments="{}") for number, name in enumerate(sent))
    reply = upstream.reply(Answered(calls=calls, finish="tool_calls", usage=Usage()), received)
    assert isinstance(reply, Reply)
    answered = client.read(pair.whole(reply.body, request, outgoing), stream=False)
    assert [call.name for call in answered.calls] == names


# --- answers ----------------------------------------------------------------------------------------------------------

COUNTS = st.integers(0, 10**6)
SHARES = Voice.shares


@st.composite
def usages(draw):
    cached, written_, rest, reasoning, said = (draw(COUNTS) for _ in range(5))
    return Usage(
        input_tokens=cached + written_ + rest,
        output_tokens=reasoning + said,
        cached_tokens=cached,
        cache_write_tokens=written_,
        reasoning_tokens=reasoning,
    )


@st.composite
def answers(draw, least_calls=0):
    ids = draw(st.lists(IDS, min_size=least_calls, max_size=4, unique=True))
    calls = tuple(Call(id=call, name=draw(NAMES), arguments=draw(ARGUMENTS)) for call in ids)
    text = draw(WORDS) if not calls or draw(st.booleans()) else ""
    reasoning = draw(WORDS) if draw(st.booleans()) else ""
    cut = draw(st.sampled_from(["length", "content_filter", None, None]))
    return Answered(
        reasoning=reasoning,
        signature="c2lnbmF0dXJl" if reasoning else "",
        text=text,
        calls=() if cut else calls,
        finish=cut or ("tool_calls" if calls else "stop"),
        usage=draw(usages()),
    )


def asked_of(pair, *, stream):
    """A plain question on its way, and what its answer is read with."""
    client = VOICES[pair.client.dialect]
    body = msgspec.json.encode(client.body({}, "m", stream=stream))
    request = pair.decode(body, client.path("m", stream=stream))
    outgoing = pair.encode(request)
    return request, outgoing, pair.received(request, outgoing)


def said(pair, answer, *, stream):
    """The upstream's bytes."""
    reply = VOICES[pair.upstream.dialect].reply(answer, asked_of(pair, stream=stream)[2])
    return reply.body if isinstance(reply, Reply) else b"".join(reply.chunks)


def read(pair, data, *, stream):
    request, outgoing, _ = asked_of(pair, stream=stream)
    body = pair.stream(data, request, outgoing) if stream else pair.whole(data, request, outgoing)
    return VOICES[pair.client.dialect].read(body, stream=stream)


def expected(pair, answer):
    """As far as both dialects can say it. What a signature becomes is another law's matter."""
    shares = VOICES[pair.client.dialect].shares & VOICES[pair.upstream.dialect].shares
    unsaid = dict.fromkeys(SHARES - shares, 0)
    return msgspec.structs.replace(answer, signature="", usage=msgspec.structs.replace(answer.usage, **unsaid))


def unsigned(answered):
    return msgspec.structs.replace(answered, signature="")


@every_pair
@LAW
@given(answer=answers())
def test_an_answer_says_the_same_whole_and_streamed(pair, answer):
    whole = read(pair, said(pair, answer, stream=False), stream=False)
    streamed = read(pair, [said(pair, answer, stream=True)], stream=True)
    assert unsigned(whole) == unsigned(streamed) == expected(pair, answer)
    assert whole.signature == streamed.signature


@every_dialect
@LAW
@given(answer=answers())
def test_a_stream_folds_to_the_whole_answer(dialect, answer):
    pair = Pair(TRANSLATORS[dialect], TRANSLATORS[dialect])
    whole = TRANSLATORS[dialect].decode_response(said(pair, answer, stream=False))
    assert collect(pair.events([said(pair, answer, stream=True)])) == whole


@every_dialect
@LAW
@given(answer=answers(), seed=st.integers(0, 2**32))
def test_any_chunking_gives_the_same_events(dialect, answer, seed):
    pair = Pair(TRANSLATORS[dialect], TRANSLATORS[dialect])
    data = said(pair, answer, stream=True)
    chance = random.Random(seed)
    places = sorted(chance.sample(range(len(data)), min(len(data), chance.choice([1, 5, 50, 500]))))
    cuts = [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]
    assert pair.events(cuts) == pair.events([data])


@every_dialect
@LAW
@given(answer=answers(), seed=st.integers(0, 2**32))
def test_line_ends_and_comments_change_nothing(dialect, answer, seed):
    pair = Pair(TRANSLATORS[dialect], TRANSLATORS[dialect])
    data = said(pair, answer, stream=True)
    chance = random.Random(seed)
    end = chance.choice([b"\n", b"\r\n", b"\r"])
    told = [
        b": keep-alive\n\n" * chance.randint(0, 1) + event + b"\n\n"
        for event in data.removesuffix(b"\n\n").split(b"\n\n")
    ]
    assert pair.events([b"".join(told).replace(b"\n", end)]) == pair.events([data])


def mixed(dialect, data, chance):
    """The stream with the pieces of its calls in another order, each call's own pieces in theirs."""
    events = data.removesuffix(b"\n\n").split(b"\n\n")
    keys = [piece_of(dialect, event) for event in events]
    places = [place for place, key in enumerate(keys) if key is not None]
    order = [keys[place] for place in places]
    chance.shuffle(order)
    waiting = {key: iter([events[place] for place in places if keys[place] == key]) for key in set(order)}
    for place, key in zip(places, order, strict=True):
        events[place] = next(waiting[key])
    return b"".join(event + b"\n\n" for event in map(renumbered, events, range(len(events))))


def piece_of(dialect, event):
    """Which call an event brings a piece of; None for other events."""
    payload = event.rpartition(b"data: ")[2]
    if payload == b"[DONE]":
        return None
    parsed = json.loads(payload)
    if dialect == "openai-chat":
        calls = [call for choice in parsed["choices"] for call in choice["delta"].get("tool_calls", ())]
        return calls[0]["index"] if calls and "id" not in calls[0] else None
    if parsed.get("type") == "response.function_call_arguments.delta":
        return parsed["output_index"]
    return None


def renumbered(event, number):
    head, mark, payload = event.partition(b"data: ")
    if b'"sequence_number"' not in payload:
        return event
    return head + mark + json.dumps({**json.loads(payload), "sequence_number": number}).encode()


@every_pair
@LAW
@given(answer=answers(least_calls=2), seed=st.integers(0, 2**32))
def test_interleaved_calls_come_out_as_they_went_in(pair, answer, seed):
    data = mixed(pair.upstream.dialect, said(pair, answer, stream=True), random.Random(seed))
    assert read(pair, [data], stream=True).calls == answer.calls


@every_pair
@LAW
@given(answer=answers())
def test_a_stream_that_was_cut_never_ends_well(pair, answer):
    """Wherever it is cut: an error, unless all that is missing is what follows the end."""
    data = said(pair, answer, stream=True)
    whole = unsigned(read(pair, [data], stream=True))
    events = data.removesuffix(b"\n\n").split(b"\n\n")
    for count in range(0, len(events), max(1, len(events) // 6)):
        try:
            found = read(pair, [b"".join(event + b"\n\n" for event in events[:count])], stream=True)
        except GatewayError:
            continue
        assert unsigned(found) == msgspec.structs.replace(whole, usage=found.usage)


@every_pair
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_signed_reasoning_goes_home_byte_for_byte(pair, stream):
    """Where the client's dialect has a place for it, its next request brings it back to whoever made it."""
    client = VOICES[pair.client.dialect]
    signature = "c2ln+/bmF0dXJl+w=="
    call = Call(id="call_1", name="look", arguments='{"a": 1}')
    answer = Answered(reasoning="hm", signature=signature, calls=(call,), finish="tool_calls", usage=Usage())
    asked = Asked(
        blocks=[Block(role="user", kind="text", text="hi")],
        tools={"look": {"type": "object", "properties": {"a": {"type": "integer"}}}},
        descriptions={"look": "d"},
    )
    body = written(client.dialect, asked, "m")
    request, outgoing, _ = asked_of(pair, stream=False)
    if stream:
        shown = pair.folded([said(pair, answer, stream=True)], request, outgoing)
    else:
        shown = pair.whole(said(pair, answer, stream=False), request, outgoing)
    after = client.continued(body, shown, ["done"])
    request = pair.decode(msgspec.json.encode(after), client.path("m", stream=False))
    outgoing = pair.encode(request)
    assert VOICES[pair.upstream.dialect].validate(pair.received(request, outgoing)) is None
    found = VOICES[pair.upstream.dialect].asked(outgoing.body)
    home = "" if pair.upstream.dialect == "openai-chat" else signature
    assert [block.signature for block in found.blocks if block.signature] == ([home] if home else [])
    assert b"omr1." not in outgoing.body
    assert [loss for loss in outgoing.losses if "signature" in loss.reason] == []


DETAILS = [
    {"type": "reasoning.text", "text": "hm", "signature": "c2ln", "format": "vendor-v1", "index": 0},
    {"type": "reasoning.encrypted", "id": "rs_1", "data": "c2VhbA==", "index": 1},
]
PIECES = [
    [{"type": "reasoning.text", "text": "h", "format": "vendor-v1", "index": 0}],
    [{"type": "reasoning.text", "text": "m", "index": 0}],
    [{"type": "reasoning.text", "signature": "c2ln", "index": 0}],
    [{"type": "reasoning.encrypted", "id": "rs_1", "data": "c2VhbA==", "index": 1}],
]


@pytest.mark.parametrize("client", TRANSLATORS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_signed_reasoning_details_go_home(client, stream):
    """As some servers of the chat dialect give them: in a list of their own, in a stream in pieces."""
    pair = Pair(TRANSLATORS[client], TRANSLATORS["openai-chat"])
    voice = VOICES[client]
    head = {"id": "c1", "created": 1, "model": "m"}
    call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    if stream:
        deltas = [{"role": "assistant"}, *({"reasoning_details": each} for each in PIECES)]
        deltas.append({"tool_calls": [{"index": 0, **call}]})
        choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
        choices.append({"index": 0, "delta": {}, "finish_reason": "tool_calls"})
        said = [sse([*({**head, "object": "chat.completion.chunk", "choices": [each]} for each in choices), "[DONE]"])]
    else:
        message = {"role": "assistant", "content": None, "reasoning_details": DETAILS, "tool_calls": [call]}
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
        said = json.dumps({**head, "object": "chat.completion", "choices": [choice]}).encode()
    asked = Asked(
        blocks=[Block(role="user", kind="text", text="hi")],
        tools={"look": {"type": "object", "properties": {"a": {"type": "integer"}}}},
        descriptions={"look": "d"},
    )
    body = written(client, asked, "m")
    request = pair.decode(msgspec.json.encode(body), voice.path("m", stream=False))
    outgoing = pair.encode(request)
    shown = pair.folded(said, request, outgoing) if stream else pair.whole(said, request, outgoing)
    after = voice.continued(body, shown, ["done"])
    request = pair.decode(msgspec.json.encode(after), voice.path("m", stream=False))
    [turn] = [
        message for message in json.loads(pair.encode(request).body)["messages"] if message["role"] == "assistant"
    ]
    assert turn["reasoning_details"] == DETAILS
    assert turn["tool_calls"][0]["id"] == "call_1"


# --- (fields in) = (mapped) and (reported as lost) --------------------------------------------------------------------

FOREIGN_JSON = frozenset(
    {"input_schema", "parameters", "parametersJsonSchema", "args", "response", "schema", "responseSchema", "arguments"}
)
"""What these hold is the client's own; how schemas are reduced is told by tests of the translators."""
SAYS_NOTHING = (None, False, "", [], {})
BOOKKEEPING = {
    "openai-chat": {
        "stream": "a path says it, in one dialect",
        "stream_options": "what the client gets, not what it asks",
        "stream_options/include_usage": "likewise",
        "messages/#/tool_calls/#/type": "the only kind",
    },
    "openai-responses": {
        "stream": "a path says it, in one dialect",
        "input/#": "reasoning of nothing",
        "input/#/id": "nobody refers to it",
        "input/#/type": "the default",
        "input/#/role": "of tools, whose role is the only one",
        "input/#/status": "of what is done",
        "tools/#/strict": "false is what others mean by saying nothing",
        "tools/#/tools/#/strict": "likewise",
        "input/#/tools/#/tools/#/strict": "likewise",
        "tools/#/description": "of a namespace, which is reported",
        "input/#/tools/#/description": "likewise",
        "parallel_tool_calls": "true is the default",
        "tool_choice": "auto is the default",
    },
    "anthropic": {"stream": "a path says it, in one dialect", "tools/#/name": "of a built-in tool, which is reported"},
    "gemini": {
        "contents/#/role": "the user's is the default",
        "systemInstruction/role": "it has none",
        "contents/#/parts/#/functionResponse/id": "calls and responses also pair in their order",
        "toolConfig/functionCallingConfig/mode": "AUTO is the default",
        "generationConfig/thinkingConfig/thinkingLevel": "unspecified",
    },
}
"""Fields whose absence says the same, or that say nothing to an upstream."""


def dialect_of(target):
    ends = {"completions": "openai-chat", "responses": "openai-responses", "messages": "anthropic"}
    return ends.get(target.partition("?")[0].rpartition("/")[2], "gemini")


def recorded():
    """One request of each client and dialect, the longest."""
    found = {}
    for path in sorted((ROOT / "recordings/clients").glob("*/*.json")):
        recording = Recording.load(path)
        kind = recording.target.partition("?")[0].rpartition(":")[2]
        found[f"{path.parent.name} {kind} {recording.body.get('model', '')}"] = recording
    return [
        pytest.param(recording, upstream, id=f"{name} to {upstream}")
        for name, recording in found.items()
        for upstream in TRANSLATORS
        if upstream != dialect_of(recording.target)
    ]


def paths(value, before=()):
    """Every field and list entry of a body."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        here = (*before, key)
        yield here
        if key not in FOREIGN_JSON and not (key == "input" and before):
            yield from paths(inner, here)


def without(body, path):
    *way, last = path
    left = copy.deepcopy(body)
    inner = left
    for step in way:
        inner = inner[step]
    del inner[last]
    return left


def at(body, path):
    for step in path:
        body = body[step]
    return body


def lost_nowhere(body, losses):
    """The losses that point at nothing in the body. What was invented may: it is not there."""
    return [loss for loss in losses if loss[1] != "invented" and not stands(body, loss[0])]


def stands(body, pointer):
    """Whether a JSON pointer leads to something."""
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        found = body if isinstance(body, dict) else dict(enumerate(body)) if isinstance(body, list) else {}
        key = int(name) if isinstance(body, list) and name.isdecimal() else name
        if key not in found:
            return False
        body = found[key]
    return True


def is_about(pointer, path):
    """Whether it leads to the field, into it, or to what holds it."""
    steps = pointer.split("/")[1:]
    return all(step == str(other) for step, other in zip(steps, path, strict=False))


def pattern(path):
    return "/".join("#" if isinstance(step, int) else step for step in path)


@pytest.mark.parametrize(("recording", "upstream"), recorded())
def test_each_field_is_mapped_or_reported(recording, upstream):
    client = dialect_of(recording.target)
    pair = Pair(TRANSLATORS[client], TRANSLATORS[upstream])

    def sent(body):
        outgoing = pair.encode(pair.decode(json.dumps(body).encode(), recording.target))
        return outgoing.body, {(loss.pointer, loss.kind) for loss in outgoing.losses}

    body, losses = sent(recording.body)
    assert lost_nowhere(recording.body, losses) == []
    whole = set()
    """Paths that were reported as lost with all they hold."""
    silent, misplaced = [], []
    for path in paths(recording.body):
        if at(recording.body, path) in SAYS_NOTHING or any(path[:length] in whole for length in range(1, len(path))):
            continue
        try:
            body_without, losses_without = sent(without(recording.body, path))
        except GatewayError:
            continue  # it could not be left out
        if body_without != body:
            continue
        name = pattern(path)
        if told := {pointer for pointer, _ in losses - losses_without}:
            whole.add(path)
            if isinstance(path[-1], str) and not any(is_about(pointer, path) for pointer in told):
                misplaced.append((path, told))
        elif name not in BOOKKEEPING[client]:
            silent.append((path, at(recording.body, path)))
    assert silent == []
    assert misplaced == []


def rarer(value):
    """The same with a field nobody knows in everything that may have one, which says nothing but is in the usual's way."""
    if isinstance(value, list):
        return [rarer(each) for each in value]
    if not isinstance(value, dict) or not {"messages", "role", "content", "text", "input_schema"} & value.keys():
        return value  # a tool of the service's own is kept word for word
    inner = {key: rarer(value[key]) for key in ("messages", "content", "system", "tools") if key in value}
    return {**value, **inner, "x_unknown": None}


@pytest.mark.parametrize(("recording", "upstream"), recorded())
def test_a_usual_request_is_read_as_a_rare_one_is(recording, upstream):
    """Where a dialect has a shorter way for what usual clients send, it leads to the same."""
    pair = Pair(TRANSLATORS[dialect_of(recording.target)], TRANSLATORS[upstream])
    usual, rare = (
        pair.decode(json.dumps(body).encode(), recording.target) for body in (recording.body, rarer(recording.body))
    )
    assert pair.encode(usual) == pair.encode(rare)
    if dialect_of(recording.target) == "anthropic":
        assert usual == rare


def merged(value, patch):
    """A JSON merge patch, applied."""
    if not isinstance(patch, dict):
        return patch
    before = value if isinstance(value, dict) else {}
    return {**before, **{name: merged(before.get(name), inner) for name, inner in patch.items()}}


FIELDS = [
    pytest.param(found["dialect"], merged(merged(found["base"], field.get("over", {})), field["add"]), id=field["name"])
    for path in sorted((ROOT / "recordings/fields").glob("*.json"))
    for found in [json.loads(path.read_bytes())]
    for field in found["fields"]
]
"""A request for each field that docs/translation.md speaks of."""


@pytest.mark.parametrize("upstream", TRANSLATORS)
@pytest.mark.parametrize(("client", "body"), FIELDS)
def test_a_loss_says_where_in_the_client_s_body_it_is(client, body, upstream):
    pair = Pair(TRANSLATORS[client], TRANSLATORS[upstream])
    try:
        outgoing = pair.encode(pair.decode(json.dumps(body).encode(), VOICES[client].path("m", stream=False)))
    except InvalidRequest:
        return
    assert lost_nowhere(body, {(loss.pointer, loss.kind) for loss in outgoing.losses}) == []


OWN_ITEMS = [
    {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}},
    {"type": "computer_call", "id": "cu_1", "call_id": "c1", "status": "completed", "action": {"type": "screenshot"}},
    {
        "type": "computer_call_output",
        "call_id": "c1",
        "output": {"type": "computer_screenshot", "image_url": "https://x.example/a.png"},
    },
    {"type": "local_shell_call", "id": "ls_1", "call_id": "c2", "status": "completed", "action": {"type": "exec"}},
    {"type": "mcp_call", "id": "mcp_1", "name": "f", "arguments": "{}", "server_label": "s"},
    {"type": "code_interpreter_call", "id": "ci_1", "status": "completed", "code": "1", "container_id": "c"},
    {"type": "compaction", "id": "cmp_1", "encrypted_content": "c2VhbA=="},
]


@pytest.mark.parametrize("upstream", [dialect for dialect in TRANSLATORS if dialect != "openai-responses"])
@pytest.mark.parametrize("item", OWN_ITEMS, ids=lambda item: item["type"])
def test_an_item_that_only_one_dialect_knows_is_reported(upstream, item):
    body = {"model": "m", "input": [{"role": "user", "content": "hi"}, item, {"role": "user", "content": "and?"}]}
    pair = Pair(TRANSLATORS["openai-responses"], TRANSLATORS[upstream])
    outgoing = pair.encode(pair.decode(json.dumps(body).encode(), "/v1/responses"))
    assert any(loss.pointer.startswith("/input/1") and loss.kind == "dropped" for loss in outgoing.losses)


@pytest.mark.parametrize("upstream", ["openai-chat", "openai-responses"])
def test_a_video_is_not_passed_off_as_a_document(upstream):
    parts = [{"text": "hi"}, {"inlineData": {"mimeType": "video/mp4", "data": "AAAA"}}]
    pair = Pair(TRANSLATORS["gemini"], TRANSLATORS[upstream])
    body = json.dumps({"contents": [{"role": "user", "parts": parts}]}).encode()
    outgoing = pair.encode(pair.decode(body, "/v1beta/models/m:generateContent"))
    assert b"AAAA" not in outgoing.body
    assert ("/contents/0/parts/1", "dropped") in {(loss.pointer, loss.kind) for loss in outgoing.losses}


@pytest.mark.parametrize("upstream", [dialect for dialect in TRANSLATORS if dialect != "anthropic"])
def test_a_file_that_lies_with_one_vendor_is_asked_of_no_other(upstream):
    document = {"type": "document", "source": {"type": "file", "file_id": "file_1"}}
    text = {"type": "text", "text": "hi"}
    body = {"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": [text, document]}]}
    pair = Pair(TRANSLATORS["anthropic"], TRANSLATORS[upstream])
    outgoing = pair.encode(pair.decode(json.dumps(body).encode(), "/v1/messages"))
    assert b"file_1" not in outgoing.body
    assert ("/messages/0/content/1", "dropped") in {(loss.pointer, loss.kind) for loss in outgoing.losses}
