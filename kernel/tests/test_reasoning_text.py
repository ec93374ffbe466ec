import pytest

from omniroute.model import ChatRequest, Message, ReasoningPart, TextPart
from omniroute.reasoning_text import without_reasoning

ASKED = Message(role="user", parts=(TextPart(text="hi"),))
ANSWERED = Message(role="assistant", parts=(TextPart(text="ho"),))
THOUGHT, SIGNED = (
    ReasoningPart(text="hm"),
    ReasoningPart(text="", provider_metadata={"anthropic": {"signature": "c2ln"}}),
)


@pytest.mark.parametrize(
    ("messages", "sent", "lost"),
    [
        pytest.param(
            (ASKED, Message(role="assistant", parts=(THOUGHT, *ANSWERED.parts)), ASKED),
            (ASKED, ANSWERED, ASKED),
            ["/messages/1/content/0"],
            id="before words",
        ),
        pytest.param(
            (ASKED, Message(role="assistant", parts=(THOUGHT,))), (ASKED,), ["/messages/1/content/0"], id="alone"
        ),
        pytest.param(
            (Message(role="assistant", parts=(SIGNED, THOUGHT, *ANSWERED.parts)), ASKED),
            (ANSWERED, ASKED),
            ["/messages/0/content/0", "/messages/0/content/1"],
            id="signed too",
        ),
    ],
)
def test_reasoning_is_left_out_and_each_is_a_loss(messages, sent, lost):
    changed = without_reasoning(ChatRequest(model="m", messages=messages))
    assert changed.messages == sent
    assert [(loss.pointer, loss.kind) for loss in changed.losses] == [(pointer, "dropped") for pointer in lost]
    assert without_reasoning(changed) is changed
