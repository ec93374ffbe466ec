"""Another vendor's metadata rides in each dialect's opaque field, and the dialect's own mark is enough to see it."""

import pytest

from omniroute.api import ChatRequest, ChatResponse, Message, ReasoningPart, TextPart, ToolCallPart
from omniroute.carrier import MARKS
from omniroute.testing import has_carrier
from omniroute_translator_anthropic import AnthropicTranslator
from omniroute_translator_gemini import GeminiTranslator
from omniroute_translator_openai_chat import OpenAIChat
from omniroute_translator_openai_responses import OpenAIResponses

METADATA = {
    "anthropic": {"signature": "c2lnbmF0dXJl"},
    "gemini": {"thought_signature": "dGhvdWdodA=="},
    "openai-responses": {"encrypted_content": "ZW5jcnlwdGVk"},
}
REQUEST = ChatRequest(model="m", messages=(Message(role="user", parts=(TextPart(text="hi"),)),))
CALL = ToolCallPart(id="call_1", name="look", arguments="{}")


@pytest.mark.parametrize("maker", METADATA)
@pytest.mark.parametrize(
    "client",
    [AnthropicTranslator(), GeminiTranslator(), OpenAIChat(), OpenAIResponses()],
    ids=lambda each: each.dialect,
)
def test_the_marks_of_a_dialect_show_each_carrier_in_it(client, maker):
    if client.dialect == maker:
        pytest.skip("its own metadata needs no carrier")
    thought = ReasoningPart(text="hm", provider_metadata={maker: METADATA[maker]})
    body = client.encode_response(
        ChatResponse(id="a", model="m", parts=(thought, CALL), finish_reason="tool_calls"), REQUEST
    )
    assert has_carrier(body, MARKS)
    assert has_carrier(body, client.carrier_marks)
