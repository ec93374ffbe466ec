"""What types cannot say of a generateContent request: calls and responses, signatures, names, limits, thinking."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from omniroute.testing.strict.gemini_schema import check_json_schema, check_schema
from omniroute.testing.strict.shape import Violation

__all__ = ["check_gemini"]

NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}")
SIGNS_CALLS = re.compile(r"(?:.*/)?gemini-(?:[3-9]|\d\d)")
TAKES_NO_LEVEL = re.compile(r"(?:.*/)?gemini-[12](?!\d)")
BUDGETS: tuple[tuple[re.Pattern[str], int, int], ...] = (
    (re.compile(r"(?:.*/)?gemini-2\.5-pro"), 128, 32768),
    (re.compile(r"(?:.*/)?gemini-2\.5-flash(?!-lite)"), 0, 24576),
)
DATA = (
    "text", "inlineData", "fileData", "functionCall", "functionResponse", "executableCode", "codeExecutionResult",
    "toolCall", "toolResponse",
)  # fmt: skip
"""The fields of a part of which exactly one is set."""
ROLES = ("user", "model", "function")
NOT_HERE = ("displayName", "partialArgs", "willContinue")
"""Fields of parts that the SDK's types have for Google's other service only."""
MIME_TYPES = ("text/plain", "application/json", "text/x.enum")
MAX_STOPS = 5
RANGES: Mapping[str, tuple[float, float]] = {
    "temperature": (0, 2),
    "topP": (0, 1),
    "topK": (1, float("inf")),
    "maxOutputTokens": (1, 2**31 - 1),
    "candidateCount": (1, 8),
    "seed": (-(2**31), 2**31 - 1),
    "presencePenalty": (-2, 2),
    "frequencyPenalty": (-2, 2),
    "logprobs": (0, 20),
}

Json = Mapping[str, Any]


def check_gemini(body: Json, model: str) -> None:
    """Raise `Violation`. The body's shape has been checked."""
    if not body.get("contents"):
        raise Violation("contents", "contents is not specified")
    for position, content in enumerate(body["contents"]):
        _check_content(content, f"contents[{position}]")
    _check_turns(body["contents"])
    if SIGNS_CALLS.match(model):
        _check_signatures(body["contents"])
    _check_system(body.get("systemInstruction"))
    _check_tools(body)
    _check_generation(body.get("generationConfig") or {}, model)


# --- contents ---------------------------------------------------------------------------------------------------------


def _check_content(content: Json, place: str) -> None:
    if content.get("role", "user") not in ROLES:
        raise Violation(f"{place}.role", f"Please use a valid role: user, model. Not {content['role']!r}.")
    if not content.get("parts"):
        raise Violation(f"{place}.parts", "contents.parts must not be empty.")
    for position, part in enumerate(content["parts"]):
        _check_part(part, f"{place}.parts[{position}]")


def _check_part(part: Json, place: str) -> None:
    held = [name for name in DATA if part.get(name) is not None]
    if len(held) != 1:
        raise Violation(f"{place}.data", f"required oneof field 'data' must have one initialized field, not {held}")
    data = part[held[0]]
    if not isinstance(data, dict):
        return
    for name in NOT_HERE:
        if name in data:
            raise Violation(f"{place}.{held[0]}", f'Unknown name "{name}": Cannot find field.')
    if held[0] == "inlineData":
        for name in ("mimeType", "data"):
            if not data.get(name):
                raise Violation(f"{place}.inline_data.{name}", "must not be empty")
    if held[0] in {"functionCall", "functionResponse"}:
        _check_name(data.get("name") or "", f"{place}.{held[0]}.name")
    if held[0] == "functionResponse" and not isinstance(data.get("response"), dict):
        raise Violation(f"{place}.function_response.response", "must be an object")


def _check_turns(contents: Sequence[Json]) -> None:
    """The content after calls begins with a response to each of them; responses stand nowhere else."""
    called: Sequence[Json] = []
    before = ""
    for position, content in enumerate(contents):
        place = f"contents[{position}]"
        role = "model" if content.get("role") == "model" else "user"
        if role == before == "model":
            raise Violation(place, "Please ensure that multiturn requests alternate between user and model.")
        _check_responses(content, called, place)
        called = _held(content, "functionCall")
        if called and (role, before) != ("model", "user"):
            raise Violation(
                place,
                "Please ensure that function call turn comes immediately after a user turn or after a function response"
                " turn.",
            )
        before = role
    if called:
        raise Violation("contents", "Please ensure that function response turn comes after a function call turn.")


def _check_responses(content: Json, called: Sequence[Json], place: str) -> None:
    responses = _held(content, "functionResponse")
    if len(responses) != len(called):
        raise Violation(
            place,
            "Please ensure that the number of function response parts is equal to the number of function call parts of"
            f" the function call turn. Calls: {len(called)}, responses: {len(responses)}.",
        )
    if sorted(response["name"] for response in responses) != sorted(call["name"] for call in called):
        raise Violation(place, "the function responses have other names than the calls")
    ids = sorted(response.get("id") or "" for response in responses)
    if any(ids) and ids != sorted(call.get("id") or "" for call in called):
        raise Violation(place, "the function responses have other ids than the calls")
    if any(part.get("functionResponse") is None for part in content["parts"][: len(responses)]):
        raise Violation(place, "function response parts must come first")


def _check_signatures(contents: Sequence[Json]) -> None:
    """In the running turn, which begins with the user's last words, the first call of each step is signed."""
    said = [at for at, content in enumerate(contents) if content.get("role") != "model" and _has_words(content)]
    for position in range(said[-1] + 1 if said else 0, len(contents)):
        for place, part in enumerate(contents[position]["parts"]):
            if part.get("functionCall") is None:
                continue
            if not part.get("thoughtSignature"):
                raise Violation(
                    "",
                    f"Function call is missing a thought_signature in functionCall parts. Function call"
                    f" `{part['functionCall']['name']}`, position {position}.{place}.",
                )
            break


def _has_words(content: Json) -> bool:
    """Anything of the user's own, be it after function responses."""
    return any(part.get("functionResponse") is None for part in content["parts"])


def _held(content: Json, name: str) -> list[Json]:
    return [part[name] for part in content["parts"] if part.get(name) is not None]


def _check_system(system: Json | None) -> None:
    if system is None:
        return
    if not system.get("parts"):
        raise Violation("system_instruction.parts", "must not be empty")
    for position, part in enumerate(system["parts"]):
        if not isinstance(part.get("text"), str):
            raise Violation(f"system_instruction.parts[{position}]", "only text is supported here")


# --- tools ------------------------------------------------------------------------------------------------------------


def _check_tools(body: Json) -> None:
    names: set[str] = set()
    for declared, place in _declarations(body.get("tools") or ()):
        _check_name(declared.get("name") or "", f"{place}.name")
        if declared["name"] in names:
            raise Violation(place, f"Duplicate function declaration found: {declared['name']}")
        names.add(declared["name"])
        _check_parameters(declared, place)
    _check_choice((body.get("toolConfig") or {}).get("functionCallingConfig"), names)


def _declarations(tools: Sequence[Json]) -> Iterator[tuple[Json, str]]:
    for position, tool in enumerate(tools):
        if not any(value is not None for value in tool.values()) or tool.get("functionDeclarations") == []:
            raise Violation(f"tools[{position}]", "a tool must declare something")
        for number, declared in enumerate(tool.get("functionDeclarations") or ()):
            yield declared, f"tools[{position}].function_declarations[{number}]"


def _check_parameters(declared: Json, place: str) -> None:
    plain, full = declared.get("parameters"), declared.get("parametersJsonSchema")
    if plain is not None and full is not None:
        raise Violation(place, "parameters and parametersJsonSchema are mutually exclusive")
    if plain is not None:
        check_schema(plain, f"{place}.parameters", root=True)
    if full is not None:
        check_json_schema(full, f"{place}.parameters_json_schema")


def _check_choice(choice: Json | None, names: set[str]) -> None:
    if choice is None:
        return
    mode = str(choice.get("mode") or "AUTO").upper()
    if not names and mode in {"ANY", "VALIDATED"}:
        raise Violation("tool_config", "Function calling config is set without function_declarations.")
    allowed = choice.get("allowedFunctionNames")
    if allowed and mode not in {"ANY", "VALIDATED"}:
        raise Violation("tool_config", "allowed_function_names should only be set when the mode is ANY or VALIDATED")
    for name in allowed or ():
        if name not in names:
            raise Violation("tool_config", f"allowed_function_names has {name!r}, which is not declared")


# --- generation -------------------------------------------------------------------------------------------------------


def _check_generation(config: Json, model: str) -> None:
    for field, (least, most) in RANGES.items():
        value = config.get(field)
        if value is not None and not least <= value <= most:
            raise Violation(f"generation_config.{field}", f"{value} is outside {least:g}…{most:g}")
    stops = config.get("stopSequences") or ()
    if len(stops) > MAX_STOPS or "" in stops:
        raise Violation("generation_config.stop_sequences", f"up to {MAX_STOPS}, none of them empty")
    if config.get("logprobs") is not None and not config.get("responseLogprobs"):
        raise Violation("generation_config.logprobs", "only allowed when response_logprobs is true")
    _check_format(config)
    _check_thinking(config.get("thinkingConfig") or {}, model)


def _check_format(config: Json) -> None:
    kind = config.get("responseMimeType") or "text/plain"
    if kind not in MIME_TYPES:
        raise Violation("generation_config.response_mime_type", f"allowed mimetypes are {', '.join(MIME_TYPES)}")
    plain, full = config.get("responseSchema"), config.get("responseJsonSchema")
    if plain is not None and full is not None:
        raise Violation("generation_config", "response_schema and response_json_schema are mutually exclusive")
    if (plain or full) is not None and kind == "text/plain":
        raise Violation("generation_config", "a response schema needs response_mime_type application/json")
    if plain is not None:
        check_schema(plain, "generation_config.response_schema")


def _check_thinking(config: Json, model: str) -> None:
    budget, level = config.get("thinkingBudget"), str(config.get("thinkingLevel") or "").upper()
    if level in {"", "THINKING_LEVEL_UNSPECIFIED"}:
        level = ""
    if budget is not None and level:
        raise Violation("generation_config.thinking_config", "You can only set only one of thinking budget and level.")
    if level and TAKES_NO_LEVEL.match(model):
        raise Violation("generation_config.thinking_config", f"Thinking level is not supported for {model}.")
    for family, least, most in BUDGETS:
        if budget not in {None, -1} and family.match(model) and not least <= budget <= most:
            raise Violation(
                "generation_config.thinking_config.thinking_budget",
                f"The thinking budget {budget} is invalid. Please choose a value between {least} and {most}.",
            )


def _check_name(name: str, place: str) -> None:
    if not NAME.fullmatch(name):
        raise Violation(
            place,
            f"Invalid function name {name!r}. Must start with a letter or an underscore and hold letters, digits,"
            " underscores, dots, colons and dashes only, with a maximum length of 128.",
        )
