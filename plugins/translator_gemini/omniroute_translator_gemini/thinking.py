"""How much the model may think: a budget of tokens for one generation of models, a level for those after it."""

from collections.abc import Mapping

from omniroute.api import Ledger, Reasoning, ReasoningEffort
from omniroute_translator_gemini.families import Traits
from omniroute_translator_gemini.wire import BOOL, INTEGER, STRING, Fields, Malformed, Wire

__all__ = ["read_reasoning", "reasoning_places", "thinking_config"]

DYNAMIC = -1
"""A budget by which the model decides for itself."""
BUDGETS: Mapping[ReasoningEffort, int] = {
    "minimal": 512,
    "low": 1024,
    "medium": 8192,
    "high": 24_576,
    "xhigh": 32_768,
    "max": 32_768,
}
EFFORTS: tuple[tuple[int, ReasoningEffort], ...] = ((512, "minimal"), (1024, "low"), (8192, "medium"), (24_576, "high"))
"""The effort that a budget up to so many tokens stands for; above them all it is xhigh."""
ORDER: tuple[ReasoningEffort, ...] = ("minimal", "low", "medium", "high", "xhigh", "max")
_LEVELS: Mapping[str, ReasoningEffort | None] = {
    "THINKING_LEVEL_UNSPECIFIED": None,
    **{level.upper(): level for level in ORDER[:-1]},
}


# --- from the client --------------------------------------------------------------------------------------------------


def read_reasoning(fields: Fields | None) -> Reasoning | None:
    """`thinkingConfig`. Thoughts are not shown to a client that does not ask for them."""
    if fields is None:
        return None
    shown = fields.take("includeThoughts", BOOL)
    budget = fields.take("thinkingBudget", INTEGER)
    level = fields.take("thinkingLevel", STRING)
    if level is not None and level.upper() not in _LEVELS:
        raise Malformed(fields.at("thinkingLevel"), f"{level!r} is none of {', '.join(_LEVELS)}")
    if budget is not None and budget < DYNAMIC:
        raise Malformed(fields.at("thinkingBudget"), "Expected `int` >= -1")
    if budget == 0:
        return Reasoning(effort="none")
    return Reasoning(
        effort=None if level is None else _LEVELS[level.upper()],
        budget_tokens=None if budget == DYNAMIC else budget,
        summary="auto" if shown else "omitted",
    )


def reasoning_places(fields: Fields | None) -> dict[str, str]:
    """Canonical fields → where they stand, before they are read; where none says it, it is the whole that does."""
    if fields is None:
        return {}
    stated = {
        "reasoning/effort": "thinkingLevel" if "thinkingLevel" in fields else "thinkingBudget",
        "reasoning/budget_tokens": "thinkingBudget",
        "reasoning/summary": "includeThoughts",
    }
    places = {name: fields.at(camel) if camel in fields else fields.pointer for name, camel in stated.items()}
    return {"reasoning": fields.pointer, **places}


# --- to the upstream --------------------------------------------------------------------------------------------------


def thinking_config(reasoning: Reasoning | None, traits: Traits, ledger: Ledger) -> Wire:
    """`thinkingConfig`; empty where nothing is to be said."""
    if reasoning is None:
        return {}
    is_off = reasoning.effort == "none" or reasoning.budget_tokens == 0
    if not traits.thinks:
        if not is_off:
            ledger.dropped("/reasoning", "this model does not think")
        return {}
    if is_off:
        return _off(traits, ledger)
    wire = _amount(reasoning, traits, ledger)
    if reasoning.summary != "omitted":
        wire["includeThoughts"] = True
    if reasoning.summary in ("concise", "detailed"):
        ledger.approximated("/reasoning/summary", "thoughts are shown in one way only")
    return wire


def _off(traits: Traits, ledger: Ledger) -> Wire:
    if traits.stops_thinking:
        return {"thinkingBudget": 0}
    ledger.approximated(
        "/reasoning", "this model cannot be kept from thinking; it was asked to think as little as it can"
    )
    return {"thinkingLevel": traits.levels[0]} if traits.levels else {"thinkingBudget": _least(traits)}


def _least(traits: Traits) -> int:
    return traits.budgets[0] if traits.budgets else 1


def _amount(reasoning: Reasoning, traits: Traits, ledger: Ledger) -> Wire:
    """A budget or a level, never both; neither when the model is to decide."""
    if traits.budgets is not None:
        return _budget(reasoning, traits.budgets, ledger)
    if traits.levels:
        return _level(reasoning, traits.levels, ledger)
    if reasoning.budget_tokens is not None:
        return {"thinkingBudget": reasoning.budget_tokens}
    return _level(reasoning, ORDER[:-1], ledger)


def _budget(reasoning: Reasoning, budgets: range, ledger: Ledger) -> Wire:
    stated = reasoning.budget_tokens
    wanted = BUDGETS.get(reasoning.effort or "none") if stated is None else stated
    if wanted is None:
        return {}
    budget = min(max(wanted, budgets[0]), budgets[-1])
    if budget != stated:
        ledger.approximated("/reasoning", f"a budget of {budget} tokens was sent")
    return {"thinkingBudget": budget}


def _level(reasoning: Reasoning, levels: tuple[ReasoningEffort, ...], ledger: Ledger) -> Wire:
    effort, stated = reasoning.effort, reasoning.effort
    if effort is None and reasoning.budget_tokens is not None:
        budget = reasoning.budget_tokens
        effort = next((name for most, name in EFFORTS if budget <= most), "xhigh")
    if effort is None:
        return {}
    wanted = ORDER.index(effort)
    level = next((each for each in levels if ORDER.index(each) >= wanted), levels[-1])
    if level != stated:
        ledger.approximated("/reasoning", f"thinking level {level} was sent")
    return {"thinkingLevel": level}
