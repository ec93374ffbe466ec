"""The canonical request to a generateContent request that the service accepts; what it cannot say is a `Loss`.

The model and whether to stream go into the path, which is not ours to write.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import Raw

from omniroute.api import ChatRequest, Ledger, Outgoing, ResponseFormat, Sampling, extension_losses
from omniroute_translator_gemini.content import ContentWriter, Piece
from omniroute_translator_gemini.decode import CONFIG, JSON_TYPE, TOOL_CONFIG
from omniroute_translator_gemini.families import Traits, traits_of
from omniroute_translator_gemini.head import WRAPPER, invalid
from omniroute_translator_gemini.schema import fit
from omniroute_translator_gemini.thinking import thinking_config
from omniroute_translator_gemini.tools import encode_choice, encode_tools, report, tool_names
from omniroute_translator_gemini.turns import Turn, build_turns, system_pieces
from omniroute_translator_gemini.wire import DIALECT, Malformed, Wire, dump

__all__ = ["encode_request"]

MAX_STOP_SEQUENCES = 5
_MAX_SEED = 2**31
_SAMPLING = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
}


def encode_request(request: ChatRequest) -> Outgoing:
    """Raises `InvalidRequest` when nothing of it can be said in this dialect."""
    try:
        return _outgoing(request)
    except Malformed as error:
        raise invalid(error) from None


def _outgoing(request: ChatRequest) -> Outgoing:
    ledger = Ledger(extension_losses(request, DIALECT))
    extensions = dict(request.extensions.get(DIALECT, {}))
    traits = traits_of(request.model)
    names = tool_names(request)
    tools, declared = encode_tools(request, names, ledger)
    writer = ContentWriter(names, traits, ledger)
    system, first = system_pieces(request.messages, writer)
    turns = build_turns(request.messages, first, writer, traits, ledger)
    if not turns:
        system, turns = _system_as_user(system, ledger)
    wanted = _response_format(request.response_format, system, traits, bool(declared), ledger)
    choice = encode_choice(request.tool_choice, names, declared, ledger)
    if request.user is not None:
        ledger.dropped("/user", "the dialect has no such field")
    thinking = thinking_config(request.reasoning, traits, ledger)
    wire: Wire = {
        **_present("systemInstruction", _system(system)),
        "contents": [turn.content() for turn in turns],
        **_present("tools", tools),
        **_present(TOOL_CONFIG, {**_present("functionCallingConfig", choice), **_inside(TOOL_CONFIG, extensions)}),
        **_present(
            CONFIG,
            {
                **_present("maxOutputTokens", request.max_output_tokens),
                **_sampling(request.sampling, ledger),
                **_present("thinkingConfig", thinking),
                **wanted,
                **_inside(CONFIG, extensions),
            },
        ),
    }
    wire.update({name: value for name, value in extensions.items() if "/" not in name and name != WRAPPER})
    if WRAPPER in extensions:
        wire = {WRAPPER: {"model": f"models/{request.model}", **wire}}
    return Outgoing(body=dump(wire), losses=ledger.losses(), tool_names=names.changed)


def _present(name: str, value: Any) -> Wire:
    return {name: value} if value else {}


def _inside(name: str, extensions: dict[str, Any]) -> Wire:
    """The extensions that are fields of an object."""
    prefix = f"{name}/"
    return {key.removeprefix(prefix): value for key, value in extensions.items() if key.startswith(prefix)}


# --- system -----------------------------------------------------------------------------------------------------------


def _system(pieces: Sequence[Piece]) -> Wire:
    text = "\n\n".join(piece.wire["text"] for piece in pieces)
    return {"parts": [{"text": text}]} if text else {}


def _system_as_user(system: list[Piece], ledger: Ledger) -> tuple[list[Piece], list[Turn]]:
    if not system:
        raise Malformed("/messages", "no message holds anything that could be sent")
    ledger.approximated(
        "/messages", "there is only system text, and a turn of the user is required: it was sent as that"
    )
    return [], [Turn(role="user", pieces=system)]


# --- generationConfig -------------------------------------------------------------------------------------------------


def _sampling(sampling: Sampling, ledger: Ledger) -> Wire:
    named = ((wire, getattr(sampling, ours)) for ours, wire in _SAMPLING.items())
    wire: Wire = {name: value for name, value in named if value is not None}
    if sampling.seed is not None:
        wire["seed"] = sampling.seed
        if not -_MAX_SEED <= sampling.seed < _MAX_SEED:
            wire["seed"] = sampling.seed % _MAX_SEED
            ledger.approximated("/seed", "seeds have 32 bits here")
    if sampling.stop:
        wire["stopSequences"] = sampling.stop[:MAX_STOP_SEQUENCES]
        if len(sampling.stop) > MAX_STOP_SEQUENCES:
            ledger.dropped("/stop", f"no more than {MAX_STOP_SEQUENCES} stop sequences are taken; the first were sent")
    return wire


def _response_format(
    wanted: ResponseFormat | None, system: list[Piece], traits: Traits, has_functions: bool, ledger: Ledger
) -> Wire:
    """The fields that ask for JSON. Where the model takes none along with functions, a text is added to `system`."""
    if wanted is None:
        return {}
    for name in ("name", "description", "strict"):
        if getattr(wanted, name) is not None:
            ledger.dropped(f"/response_format/{name}", "the dialect has no such field")
    if has_functions and not traits.formats_with_tools:
        ledger.approximated("/response_format", "asked for in the system text: this model takes it or functions")
        system.append(Piece(pointer="/response_format", wire={"text": _asked(wanted.schema)}))
        return {}
    wire: Wire = {"responseMimeType": JSON_TYPE}
    if wanted.schema is not None:
        pointer = "/response_format/schema"
        fitted = fit(wanted.schema, pointer, is_object_schema=False)
        report(fitted.notes, pointer, ledger)
        wire["responseJsonSchema" if fitted.is_json_schema else "responseSchema"] = fitted.schema
    return wire


def _asked(schema: Raw | None) -> str:
    if schema is None:
        return "When you give your final answer, write one JSON object and nothing else."
    return (
        "When you give your final answer, write one JSON value and nothing else. "
        f"It must match this JSON schema:\n{bytes(schema).decode()}"
    )
