"""How much the model may think, in the two ways the dialect has for it: a budget of tokens, or its own choice by effort."""

from collections.abc import Sequence

import msgspec

from omniroute.api import ChatRequest, Ledger, Reasoning, ReasoningEffort
from omniroute_translator_anthropic.families import Traits
from omniroute_translator_anthropic.head import MAX_INT
from omniroute_translator_anthropic.turns import THINKING, Turn, ends_in_prefill
from omniroute_translator_anthropic.wire import DIALECT, Wire

__all__ = ["ThinkingPlan", "plan_thinking"]

MIN_BUDGET = 1024
BUDGETS: dict[ReasoningEffort, int] = {
    "minimal": MIN_BUDGET,
    "low": MIN_BUDGET,
    "medium": 8192,
    "high": 24_576,
    "xhigh": 32_768,
    "max": 32_768,
}  # fmt: skip
EFFORTS: tuple[tuple[int, ReasoningEffort], ...] = ((1024, "low"), (8192, "medium"), (24_576, "high"))
"""The effort that a budget up to so many tokens stands for; above them all it is xhigh."""


class ThinkingPlan(msgspec.Struct, frozen=True, kw_only=True):
    max_tokens: int
    thinking: object | None = None
    """The `thinking` field; None leaves it out."""
    effort: ReasoningEffort | None = None
    """`output_config.effort`."""
    is_on: bool = False


def plan_thinking(
    request: ChatRequest, turns: Sequence[Turn], choice: Wire | None, traits: Traits, ledger: Ledger
) -> ThinkingPlan:
    """`max_tokens` is planned here too, as thinking counts towards it."""
    max_tokens = request.max_output_tokens
    if request.operation == "count_tokens":
        max_tokens = MAX_INT  # there will be no answer that thinking could take the room from
    elif max_tokens is None:
        max_tokens = traits.default_max_tokens
        ledger.invented("/max_output_tokens", f"the field is required; {max_tokens} was sent")
    off = ThinkingPlan(max_tokens=max_tokens)
    kept = request.extensions.get(DIALECT, {}).get("thinking")
    if kept is not None:
        return msgspec.structs.replace(off, thinking=kept, is_on=True)
    reasoning = request.reasoning
    if reasoning is None:
        return off
    if reasoning.effort == "none" or reasoning.budget_tokens == 0:
        return msgspec.structs.replace(off, thinking={"type": "disabled"}) if traits.thinks else off
    if obstacle := _obstacle(reasoning, turns, choice, traits):
        ledger.dropped("/reasoning", obstacle)
        return off
    if _is_adaptive(reasoning, traits):
        return _adaptive(reasoning, off, ledger)
    return _budgeted(request, reasoning, off, traits, ledger)


def _obstacle(reasoning: Reasoning, turns: Sequence[Turn], choice: Wire | None, traits: Traits) -> str | None:
    """Why the service would refuse thinking in this request."""
    if not traits.thinks:
        return "this model does not think"
    if choice is not None and choice["type"] in ("any", "tool"):
        return "a tool that must be called excludes thinking"
    if ends_in_prefill(turns):
        return "a turn of the assistant to go on from excludes thinking"
    if not reasoning.adaptive and _runs_without_thinking(turns):
        return "the tool calls now running began without a signed thinking block"
    return None


def _runs_without_thinking(turns: Sequence[Turn]) -> bool:
    """Whether, since the user's last words, an assistant turn with calls does not begin with thinking."""
    for turn in reversed(turns):
        kinds = [block.kind for block in turn.blocks]
        if turn.role == "user" and "tool_result" not in kinds:
            return False
        if turn.role == "assistant" and "tool_use" in kinds and kinds[0] not in THINKING:
            return True
    return False


def _is_adaptive(reasoning: Reasoning, traits: Traits) -> bool:
    if not traits.takes_budget:
        return True
    is_open = reasoning.adaptive or (reasoning.effort is None and reasoning.budget_tokens is None)
    return is_open and traits.takes_adaptive


def _adaptive(reasoning: Reasoning, off: ThinkingPlan, ledger: Ledger) -> ThinkingPlan:
    effort = reasoning.effort
    if effort is None and reasoning.budget_tokens is not None:
        budget = reasoning.budget_tokens
        effort = next((name for most, name in EFFORTS if budget <= most), "xhigh")
        ledger.approximated("/reasoning/budget_tokens", f"this model takes no budget; effort {effort} was sent")
    elif effort == "minimal":
        effort = "low"
        ledger.approximated("/reasoning/effort", "effort minimal was sent as low")
    thinking = {"type": "adaptive", **_display(reasoning)}
    return msgspec.structs.replace(off, thinking=thinking, effort=effort, is_on=True)


def _budgeted(
    request: ChatRequest, reasoning: Reasoning, off: ThinkingPlan, traits: Traits, ledger: Ledger
) -> ThinkingPlan:
    stated = reasoning.budget_tokens
    wanted = stated if stated is not None else BUDGETS[reasoning.effort or "medium"]
    limit = off.max_tokens
    budget = max(wanted, MIN_BUDGET)
    if request.max_output_tokens is None and not traits.is_known:
        limit += budget  # nothing is known of the model's limit: the answer keeps what it would have without thinking
    elif stated is None or budget >= limit:
        budget = min(budget, max(limit // 2, MIN_BUDGET))
    if budget >= limit:
        ledger.dropped("/reasoning", f"max_tokens {limit} leaves no room for the {MIN_BUDGET} tokens thinking takes")
        return off
    if budget != stated:
        ledger.approximated("/reasoning", f"a budget of {budget} tokens was sent")
    effort = reasoning.effort if stated is not None and traits.takes_adaptive else None
    return ThinkingPlan(
        max_tokens=limit,
        thinking={"type": "enabled", "budget_tokens": budget, **_display(reasoning)},
        effort="low" if effort == "minimal" else effort,
        is_on=True,
    )


def _display(reasoning: Reasoning) -> Wire:
    if reasoning.summary is None:
        return {}
    return {"display": "omitted" if reasoning.summary == "omitted" else "summarized"}
