import msgspec
import pytest

from omniroute.api import (
    ChatRequest,
    Message,
    Reasoning,
    ReasoningPart,
    Sampling,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
)

ASK = Message(role="user", parts=(TextPart(text="go"),))
SIGNED = ReasoningPart(text="Hm.", provider_metadata={"anthropic": {"signature": "EgF0"}})
CALL = ToolCallPart(id="c1", name="read", arguments="{}")
RESULT = Message(role="tool", parts=(ToolResultPart(call_id="c1"),))
READ = Tool(name="read")
BUDGETS = "some-model"
OLDER = "claude-sonnet-4-5-20250929"
BOTH = "claude-opus-4-6"
ADAPTIVE = "claude-opus-5"


def asked(*messages, model=BUDGETS, max_tokens=100_000, **more):
    return ChatRequest(model=model, messages=messages or (ASK,), max_output_tokens=max_tokens, **more)


@pytest.mark.parametrize(
    ("model", "reasoning", "thinking", "effort"),
    [
        (BUDGETS, Reasoning(effort="none"), {"type": "disabled"}, None),
        (BUDGETS, Reasoning(budget_tokens=0), {"type": "disabled"}, None),
        (BUDGETS, Reasoning(effort="minimal"), {"type": "enabled", "budget_tokens": 1024}, None),
        (BUDGETS, Reasoning(effort="low"), {"type": "enabled", "budget_tokens": 1024}, None),
        (BUDGETS, Reasoning(effort="medium"), {"type": "enabled", "budget_tokens": 8192}, None),
        (BUDGETS, Reasoning(effort="high"), {"type": "enabled", "budget_tokens": 24576}, None),
        (BUDGETS, Reasoning(effort="max"), {"type": "enabled", "budget_tokens": 32768}, None),
        (BUDGETS, Reasoning(budget_tokens=5000), {"type": "enabled", "budget_tokens": 5000}, None),
        (BUDGETS, Reasoning(budget_tokens=512), {"type": "enabled", "budget_tokens": 1024}, None),
        (BUDGETS, Reasoning(budget_tokens=5000, effort="high"), {"type": "enabled", "budget_tokens": 5000}, "high"),
        (BUDGETS, Reasoning(), {"type": "adaptive"}, None),
        (BUDGETS, Reasoning(adaptive=True, effort="max"), {"type": "adaptive"}, "max"),
        (BUDGETS, Reasoning(summary="detailed"), {"type": "adaptive", "display": "summarized"}, None),
        (OLDER, Reasoning(adaptive=True, effort="high"), {"type": "enabled", "budget_tokens": 24576}, None),
        (OLDER, Reasoning(adaptive=True), {"type": "enabled", "budget_tokens": 8192}, None),
        (BOTH, Reasoning(effort="low"), {"type": "enabled", "budget_tokens": 1024}, None),
        (BOTH, Reasoning(adaptive=True, effort="low"), {"type": "adaptive"}, "low"),
        (ADAPTIVE, Reasoning(effort="minimal"), {"type": "adaptive"}, "low"),
        (ADAPTIVE, Reasoning(effort="xhigh"), {"type": "adaptive"}, "xhigh"),
        (ADAPTIVE, Reasoning(budget_tokens=31999), {"type": "adaptive"}, "xhigh"),
        (ADAPTIVE, Reasoning(budget_tokens=2000), {"type": "adaptive"}, "medium"),
        ("claude-3-5-haiku-20241022", Reasoning(effort="high"), None, None),
        ("claude-3-5-haiku-20241022", Reasoning(effort="none"), None, None),
    ],
)
def test_thinking_is_asked_for_as_the_client_said_and_the_model_takes(encode, model, reasoning, thinking, effort):
    sent, _ = encode(asked(model=model, reasoning=reasoning))
    assert sent.get("thinking") == thinking
    assert sent.get("output_config", {}).get("effort") == effort


@pytest.mark.parametrize(
    ("max_tokens", "reasoning", "sent_max_tokens", "budget", "losses"),
    [
        pytest.param(8000, Reasoning(effort="low"), 8000, 1024, ["approximated /reasoning"], id="fits"),
        pytest.param(
            8000, Reasoning(effort="high"), 8000, 4000, ["approximated /reasoning"], id="half is left to the answer"
        ),
        pytest.param(2000, Reasoning(effort="low"), 2000, 1024, ["approximated /reasoning"], id="no less than 1024"),
        pytest.param(1024, Reasoning(effort="low"), 1024, None, ["dropped /reasoning"], id="no room"),
        pytest.param(32000, Reasoning(budget_tokens=31999), 32000, 31999, [], id="a stated budget stays"),
        pytest.param(
            4000, Reasoning(budget_tokens=9000), 4000, 2000, ["approximated /reasoning"], id="a budget too large"
        ),
        pytest.param(
            None,
            Reasoning(effort="medium"),
            4096 + 8192,
            8192,
            ["invented /max_output_tokens", "approximated /reasoning"],
            id="max_tokens left out",
        ),
    ],
)
def test_the_budget_stays_below_max_tokens(encode, max_tokens, reasoning, sent_max_tokens, budget, losses):
    sent, lost = encode(asked(max_tokens=max_tokens, reasoning=reasoning))
    assert sent["max_tokens"] == sent_max_tokens
    assert sent.get("thinking", {}).get("budget_tokens") == budget
    assert lost == losses


@pytest.mark.parametrize(
    ("model", "max_tokens"),
    [
        (BUDGETS, 4096),
        ("claude-3-haiku-20240307", 4096),
        ("claude-3-7-sonnet-latest", 32_000),
        ("claude-sonnet-4-20250514", 32_000),
        ("vendor/claude-opus-4.8", 32_000),
    ],
)
def test_max_tokens_is_filled_in(encode, model, max_tokens):
    sent, losses = encode(asked(model=model, max_tokens=None))
    assert sent["max_tokens"] == max_tokens
    assert losses == ["invented /max_output_tokens"]


ASSISTANT_UNSIGNED = Message(role="assistant", parts=(TextPart(text="Reading."), CALL))
ASSISTANT_SIGNED = Message(role="assistant", parts=(SIGNED, CALL))
ON = Reasoning(budget_tokens=5000)


@pytest.mark.parametrize(
    ("request_", "is_on"),
    [
        pytest.param(asked(tools=(READ,), tool_choice=ToolChoice(), reasoning=ON), True, id="a free choice"),
        pytest.param(asked(tools=(READ,), tool_choice=ToolChoice(mode="required"), reasoning=ON), False, id="any tool"),
        pytest.param(
            asked(tools=(READ,), tool_choice=ToolChoice(mode="tool", name="read"), reasoning=ON), False, id="one tool"
        ),
        pytest.param(asked(tool_choice=ToolChoice(mode="required"), reasoning=ON), True, id="any tool, but none there"),
        pytest.param(asked(ASK, ASSISTANT_SIGNED, RESULT, reasoning=ON), True, id="a running turn that began thinking"),
        pytest.param(asked(ASK, ASSISTANT_UNSIGNED, RESULT, reasoning=ON), False, id="a running turn that did not"),
        pytest.param(
            asked(ASK, ASSISTANT_UNSIGNED, RESULT, reasoning=Reasoning(adaptive=True)),
            True,
            id="a running turn of a client that leaves it to the model",
        ),
        pytest.param(
            asked(ASK, ASSISTANT_UNSIGNED, RESULT, ASSISTANT_SIGNED, RESULT, reasoning=ON),
            False,
            id="a running turn that began without it and went on with it",
        ),
        pytest.param(asked(ASK, ASSISTANT_UNSIGNED, RESULT, ASK, reasoning=ON), False, id="results and new words"),
        pytest.param(
            asked(
                ASK,
                ASSISTANT_UNSIGNED,
                RESULT,
                Message(role="assistant", parts=(TextPart(text="x"),)),
                ASK,
                reasoning=ON,
            ),
            True,
            id="a turn that has ended",
        ),
        pytest.param(
            asked(ASK, Message(role="assistant", parts=(TextPart(text="So"),)), reasoning=ON), False, id="a prefill"
        ),
    ],
)
def test_thinking_is_left_out_where_the_service_refuses_it(encode, request_, is_on):
    sent, losses = encode(request_)
    assert ("thinking" in sent) is is_on
    assert ("dropped /reasoning" in losses) is not is_on


def test_a_prefill_holds_no_thinking(encode):
    sent, losses = encode(asked(ASK, Message(role="assistant", parts=(SIGNED, TextPart(text="So")))))
    assert sent["messages"][1]["content"] == [{"type": "text", "text": "So"}]
    assert losses == ["dropped /messages/1/content/0"]


@pytest.mark.parametrize(
    ("model", "reasoning", "sampling", "fields", "losses"),
    [
        pytest.param(BUDGETS, None, {"temperature": 1.8}, {"temperature": 1}, ["approximated /temperature"], id="hot"),
        pytest.param(
            BUDGETS,
            ON,
            {"temperature": 0.5, "top_k": 5, "top_p": 0.5},
            {},
            ["dropped /temperature", "dropped /top_p", "dropped /top_k"],
            id="what thinking excludes",
        ),
        pytest.param(
            BUDGETS, ON, {"temperature": 1, "top_p": 0.97}, {"temperature": 1, "top_p": 0.97}, [], id="what it allows"
        ),
        pytest.param(
            OLDER, None, {"temperature": 0.5, "top_p": 0.9}, {"temperature": 0.5}, ["dropped /top_p"], id="one of two"
        ),
        pytest.param(
            ADAPTIVE,
            None,
            {"temperature": 1, "top_p": 1, "top_k": 1},
            {},
            ["dropped /temperature", "dropped /top_p", "dropped /top_k"],
            id="a model that takes none",
        ),
        pytest.param(
            BUDGETS,
            None,
            {"seed": 0, "presence_penalty": 0.0, "frequency_penalty": 1.0},
            {},
            ["dropped /seed", "dropped /presence_penalty", "dropped /frequency_penalty"],
            id="what the dialect has not",
        ),
        pytest.param(
            BUDGETS, None, {"stop": ("\n", "END")}, {"stop_sequences": ["END"]}, ["dropped /stop"], id="blank stops"
        ),
    ],
)
def test_sampling_is_what_the_service_takes(encode, model, reasoning, sampling, fields, losses):
    sent, lost = encode(asked(model=model, reasoning=reasoning, sampling=Sampling(**sampling)))
    names = {"temperature", "top_p", "top_k", "stop_sequences"}
    assert {name: value for name, value in sent.items() if name in names} == fields
    assert lost == losses


def test_an_unknown_way_to_think_goes_back_as_it_came(encode):
    kept = {"anthropic": {"thinking": msgspec.Raw(b'{"type":"between_tools"}')}}
    sent, losses = encode(asked(extensions=kept))
    assert sent["thinking"] == {"type": "between_tools"}
    assert losses == []
