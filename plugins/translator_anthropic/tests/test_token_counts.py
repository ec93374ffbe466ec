"""A request whose tokens are to be counted: the service takes what an answer would be made from, and nothing else."""

import msgspec
import pytest
from anthropic.types.beta.message_count_tokens_params import MessageCountTokensParams

from omniroute.api import Reasoning, Sampling

READ = {"name": "read", "input_schema": {"type": "object", "properties": {}}}
ASKED = {
    "model": "claude-sonnet-4-5",
    "system": "Be brief.",
    "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
    "tools": [READ],
    "tool_choice": {"type": "auto"},
    "thinking": {"type": "enabled", "budget_tokens": 64_000},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
}


def test_a_body_that_asks_for_a_count_comes_back_as_it_was(decode, translator):
    request = decode("count_tokens", **ASKED, max_tokens=None)
    assert request.operation == "count_tokens"
    outgoing = translator.encode_request(request)
    assert msgspec.json.decode(outgoing.body) == ASKED
    assert outgoing.losses == ()


@pytest.mark.parametrize("model", ["claude-sonnet-4-5", "claude-opus-4-7", "another"])
@pytest.mark.parametrize(
    "fields",
    [
        {"max_output_tokens": 100, "stream": True, "user": "u"},
        {"sampling": Sampling(temperature=0.5, top_p=0.9, top_k=4, stop=("END",), seed=7)},
        {"reasoning": Reasoning(effort="high")},
        {"reasoning": Reasoning(budget_tokens=100_000), "max_output_tokens": 1},
    ],
    ids=str,
)
def test_what_only_an_answer_needs_is_not_sent(decode, translator, model, fields):
    asked = decode("count_tokens", **{**ASKED, "model": model}, max_tokens=None, metadata={"user_id": "u"})
    outgoing = translator.encode_request(msgspec.structs.replace(asked, **fields))
    sent = msgspec.json.decode(outgoing.body)
    assert sent.keys() <= MessageCountTokensParams.__annotations__.keys()
    assert [loss.pointer for loss in outgoing.losses if "max_tokens" in loss.pointer] == []


def test_an_answer_is_what_everybody_else_asks_for(decode):
    assert decode().operation == "chat"
