"""The canonical request to a Messages request that the service accepts; what it cannot say is a `Loss`.

`max_tokens` is required: where the client did not say, 4096 is sent, or 32 000 to the newer models of the dialect's own line.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import Raw

from omniroute.api import ChatRequest, Ledger, Outgoing, ResponseFormat, Sampling, extension_losses
from omniroute_translator_anthropic.content import Block, ContentWriter
from omniroute_translator_anthropic.families import Traits, traits_of
from omniroute_translator_anthropic.head import invalid
from omniroute_translator_anthropic.schema import closed_schema
from omniroute_translator_anthropic.thinking import ThinkingPlan, plan_thinking
from omniroute_translator_anthropic.tools import encode_choice, encode_tools, tool_names
from omniroute_translator_anthropic.turns import Turn, build_turns, system_blocks
from omniroute_translator_anthropic.wire import DIALECT, ENCODER, Malformed, Wire, read_object

__all__ = ["encode_request"]

MAX_CACHE_MARKS = 4
MIN_TOP_P_WITH_THINKING = 0.95
_MERGED = frozenset({"metadata", "output_config", "thinking"})
"""Extensions that are written together with canonical fields."""


def encode_request(request: ChatRequest) -> Outgoing:
    """Raises `InvalidRequest` when nothing of it can be said in this dialect."""
    try:
        return _outgoing(request)
    except Malformed as error:
        raise invalid(error) from None


def _outgoing(request: ChatRequest) -> Outgoing:
    ledger = Ledger(extension_losses(request, DIALECT))
    traits = traits_of(request.model)
    names = tool_names(request)
    tools = encode_tools(request, names, ledger)
    choice = encode_choice(request.tool_choice, names, tools, ledger)
    writer = ContentWriter(names, ledger)
    system, first = system_blocks(request.messages, writer)
    turns = build_turns(request.messages, first, writer, traits, ledger)
    if not turns:
        system, turns = _system_as_user(system, ledger)
    plan = plan_thinking(request, turns, choice, traits, ledger)
    output = _output_config(request, plan, system, traits, ledger)
    extensions = request.extensions.get(DIALECT, {})
    declared = [Block(pointer=pointer, wire=tool) for pointer, tool in tools.values()]
    _limit_marks([*declared, *system], turns, extensions, ledger)
    wire: Wire = {
        "model": request.model,
        **_answer_fields(request, plan, traits, ledger),
        **_present("system", _system(system)),
        "messages": [{"role": turn.role, "content": [block.wire for block in turn.blocks]} for turn in turns],
        **_present("tools", [block.wire for block in declared]),
        **_present("tool_choice", choice),
        **_present("thinking", plan.thinking),
        **_present("output_config", output),
        **{name: value for name, value in extensions.items() if name not in _MERGED},
    }
    return Outgoing(body=ENCODER.encode(wire), losses=ledger.losses(), tool_names=names.changed)


def _answer_fields(request: ChatRequest, plan: ThinkingPlan, traits: Traits, ledger: Ledger) -> Wire:
    """What a body holds only when an answer is asked for: the service refuses it where tokens are to be counted."""
    if request.operation == "count_tokens":
        return {}
    return {
        "max_tokens": plan.max_tokens,
        **_sampling(request.sampling, plan, traits, ledger),
        **_present("metadata", _metadata(request, request.extensions.get(DIALECT, {}))),
        **({"stream": True} if request.stream else {}),
    }


def _present(name: str, value: Any) -> Wire:
    return {name: value} if value else {}


# --- system -----------------------------------------------------------------------------------------------------------


def _system(blocks: Sequence[Block]) -> str | list[Wire]:
    """One plain text as a string, else blocks: they keep their borders and cache marks."""
    if len(blocks) == 1 and blocks[0].wire.keys() == {"type", "text"}:
        return str(blocks[0].wire["text"])
    return [block.wire for block in blocks]


def _system_as_user(system: list[Block], ledger: Ledger) -> tuple[list[Block], list[Turn]]:
    if not system:
        raise Malformed("/messages", "no message holds anything that could be sent")
    ledger.approximated(
        "/messages", "there is only system text, and a turn of the user is required: it was sent as that"
    )
    return [], [Turn(role="user", blocks=system)]


# --- sampling ---------------------------------------------------------------------------------------------------------


def _sampling(sampling: Sampling, plan: ThinkingPlan, traits: Traits, ledger: Ledger) -> Wire:
    wire: Wire = {}
    for name in ("temperature", "top_p", "top_k"):
        value = getattr(sampling, name)
        if value is None:
            continue
        if obstacle := _sampling_obstacle(name, value, sampling, plan, traits):
            ledger.dropped(f"/{name}", obstacle)
        elif name == "temperature" and value > 1:
            ledger.approximated("/temperature", "the highest temperature is 1")
            wire[name] = 1
        else:
            wire[name] = value
    for name in ("seed", "presence_penalty", "frequency_penalty"):
        if getattr(sampling, name) is not None:
            ledger.dropped(f"/{name}", "the dialect has no such field")
    stop = [text for text in sampling.stop if text.strip()]
    if len(stop) < len(sampling.stop):
        ledger.dropped("/stop", "stop sequences of nothing but white space are not taken")
    return {**wire, **_present("stop_sequences", stop)}


def _sampling_obstacle(name: str, value: float, sampling: Sampling, plan: ThinkingPlan, traits: Traits) -> str | None:
    if not traits.takes_sampling:
        return "this model refuses it"
    if name == "top_p" and sampling.temperature is not None and not traits.takes_temperature_with_top_p:
        return "this model takes temperature or top_p, not both"
    if not plan.is_on:
        return None
    if name == "temperature" and value != 1:
        return "thinking excludes any temperature but 1"
    if name == "top_k":
        return "thinking excludes top_k"
    if name == "top_p" and value < MIN_TOP_P_WITH_THINKING:
        return f"thinking excludes a top_p below {MIN_TOP_P_WITH_THINKING}"
    return None


# --- output and metadata ----------------------------------------------------------------------------------------------


def _output_config(
    request: ChatRequest, plan: ThinkingPlan, system: list[Block], traits: Traits, ledger: Ledger
) -> Wire:
    """`output_config`. Where the service has no field for a wish, a text is added to `system`."""
    wire = _kept(request.extensions.get(DIALECT, {}), "output_config")
    if plan.effort is not None:
        wire["effort"] = plan.effort
    wanted = request.response_format
    if wanted is None:
        return wire
    _note_format(wanted, ledger)
    if wanted.kind == "json_schema" and wanted.schema is not None and traits.takes_schema:
        schema = closed_schema(wanted.schema, "/response_format/schema", ledger)
        return {**wire, "format": {"type": "json_schema", "schema": schema}}
    text = "Answer with one JSON object and nothing else."
    if wanted.schema is not None:
        text = (
            f"Answer with one JSON value and nothing else. It must match this JSON schema:\n{_text_of(wanted.schema)}"
        )
    ledger.approximated("/response_format", "asked for in the system text")
    system.append(Block(pointer="/response_format", wire={"type": "text", "text": text}))
    return wire


def _note_format(wanted: ResponseFormat, ledger: Ledger) -> None:
    for name in ("name", "description", "strict"):
        if getattr(wanted, name) is not None:
            ledger.dropped(f"/response_format/{name}", "the dialect has no such field")


def _text_of(schema: Raw) -> str:
    return bytes(schema).decode()


def _metadata(request: ChatRequest, extensions: dict[str, Any]) -> Wire:
    wire = _kept(extensions, "metadata")
    return {**wire, "user_id": request.user} if request.user is not None else wire


def _kept(extensions: dict[str, Any], name: str) -> Wire:
    raw = extensions.get(name)
    return {} if raw is None else dict(read_object(raw, f"/{name}"))


# --- cache marks ------------------------------------------------------------------------------------------------------


def _limit_marks(head: Sequence[Block], turns: Sequence[Turn], extensions: dict[str, Any], ledger: Ledger) -> None:
    """Keep the last marks, which cover most. A mark for the whole request takes one of the places."""
    blocks = [*head, *(block for turn in turns for block in turn.blocks)]
    marked = [(block.pointer, wire) for block in blocks for wire in _with_inner(block.wire) if "cache_control" in wire]
    places = MAX_CACHE_MARKS - ("cache_control" in extensions)
    for pointer, wire in marked[: max(0, len(marked) - places)]:
        del wire["cache_control"]
        ledger.dropped(f"{pointer}/cache_control", f"no more than {MAX_CACHE_MARKS} cache marks are taken")


def _with_inner(wire: Wire) -> list[Wire]:
    """A block and the blocks in it, in the order of the prompt."""
    inner = wire.get("content")
    return [*(piece for piece in inner if isinstance(piece, dict)), wire] if isinstance(inner, list) else [wire]
