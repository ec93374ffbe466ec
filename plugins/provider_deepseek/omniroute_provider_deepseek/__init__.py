"""DeepSeek by API key, in OpenAI's dialect, except that models which think want their thinking back.

Facts from https://api-docs.deepseek.com and as OmniRoute 1.0.6 and 3.7.9 shipped them; compared on 2026-11-22. Prices are for
showing costs and are those of the day; whatever is taken off at night is not in them.
"""

import msgspec
from msgspec import Raw

from omniroute.api import (
    ChatRequest,
    FactsProvider,
    Loss,
    Message,
    ModelFacts,
    Price,
    ProviderFacts,
    ReasoningPart,
    ToolCallPart,
    hookimpl,
)

__all__ = ["FACTS", "DeepSeek", "register_providers"]

AS_OF = "OmniRoute 3.7.9"
FACTS = ProviderFacts(
    name="deepseek",
    dialect="openai-chat",
    base_url="https://api.deepseek.com/v1",
    aliases=("ds",),
    display_name="DeepSeek",
    docs_url="https://api-docs.deepseek.com",
    terms_url="https://cdn.deepseek.com/policies/en-US/deepseek-open-platform-terms-of-service.html",
    checked="2026-11-22",
    any_model=True,
    operations=("chat", "models"),
    models=(
        ModelFacts(id="deepseek-v4-flash", name="DeepSeek V4 Flash", capabilities=("tools", "reasoning")),
        ModelFacts(id="deepseek-v4-pro", name="DeepSeek V4 Pro", capabilities=("tools", "reasoning")),
        ModelFacts(
            id="deepseek-chat",
            name="DeepSeek V3.2 Chat",
            capabilities=("tools",),
            price=Price(
                input_usd=0.28,
                output_usd=0.42,
                cached_usd=0.014,
                cache_write_usd=0.28,
                reasoning_usd=0.42,
                as_of=AS_OF,
            ),
        ),
        ModelFacts(
            id="deepseek-reasoner",
            name="DeepSeek V3.2 Reasoner",
            capabilities=("tools", "reasoning"),
            price=Price(
                input_usd=0.55,
                output_usd=2.19,
                cached_usd=0.14,
                cache_write_usd=0.55,
                reasoning_usd=2.19,
                as_of=AS_OF,
            ),
        ),
    ),
)
THINKING = "thinking"
OFF = Raw(b'{"type":"disabled"}')


class DeepSeek(FactsProvider):
    """A turn that called tools must come back with the thinking that led to it, else the answer is 400.

    Translators send open thinking back. Where the client dropped it there is none to send, and the model goes on without.
    https://api-docs.deepseek.com/guides/thinking_mode (read 2026-11-22)
    """

    def adapt(self, request: ChatRequest, model: ModelFacts) -> ChatRequest:
        request = super().adapt(request, model)
        stated = request.extensions.get(self.facts.dialect, {})
        if stated.get(THINKING) == OFF or not any(map(lacks_thinking, request.messages)):
            return request
        loss = Loss(pointer="/reasoning", kind="dropped", reason="the history lacks the thinking behind its tool calls")
        return msgspec.structs.replace(
            request,
            reasoning=None,
            extensions={**request.extensions, self.facts.dialect: {**stated, THINKING: OFF}},
            losses=(*request.losses, loss),
        )


def lacks_thinking(message: Message) -> bool:
    has_calls = any(isinstance(part, ToolCallPart) for part in message.parts)
    return has_calls and not any(isinstance(part, ReasoningPart) and part.text for part in message.parts)


@hookimpl
def register_providers() -> list[DeepSeek]:
    return [DeepSeek(FACTS)]
