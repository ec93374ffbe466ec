"""iFlow by sign-in: OpenAI's dialect with a key that the sign-in buys, and requests signed with that key.

Facts as OmniRoute 1.0.6 and 3.7.9 shipped them; compared on 2026-11-22. The signature is an HMAC of time and session under the
user's own key. The vendor withdrew the service in April 2026.
"""

import hashlib
import hmac
import uuid

import msgspec
from msgspec import Raw

from omniroute.api import (
    Call,
    ChatRequest,
    ExchangeFacts,
    FactsProvider,
    HttpRequest,
    ModelFacts,
    OAuthFacts,
    Price,
    ProviderFacts,
    hookimpl,
)

__all__ = ["FACTS", "IFlow", "register_providers"]

AGENT = "iFlow-Cli"
"""Part of what is signed."""


def price(input_usd: float, output_usd: float) -> Price:
    """From the cache it is half as much, and thinking half as much again."""
    return Price(
        input_usd=input_usd,
        output_usd=output_usd,
        cached_usd=input_usd / 2,
        cache_write_usd=input_usd,
        reasoning_usd=output_usd * 1.5,
        as_of="OmniRoute 1.0.6",
    )


OAUTH = OAuthFacts(
    client_id="10009311001",
    client_id_env=("IFLOW_OAUTH_CLIENT_ID",),
    client_secret_env=("IFLOW_OAUTH_CLIENT_SECRET",),
    needs_client_secret=True,
    client_auth="both",
    pkce=False,
    authorize_url="https://iflow.cn/oauth",
    authorize_params={"loginMethod": "phone", "type": "phone", "response_type": None},
    redirect_parameter="redirect",
    redirect_path="/oauth2callback",
    redirect_ports=(11451,),
    token_url="https://iflow.cn/oauth/token",
    exchange=ExchangeFacts(
        url="https://iflow.cn/api/oauth/getUserInfo",
        query_parameter="accessToken",
        token=("data", "apiKey"),
        fields={"email": ("data", "email")},
    ),
)
FACTS = ProviderFacts(
    name="iflow",
    dialect="openai-chat",
    base_url="https://apis.iflow.cn/v1",
    auth="oauth",
    auth_also=("api-key",),
    oauth=OAUTH,
    aliases=("if",),
    display_name="iFlow AI",
    docs_url="https://iflow.cn",
    checked="2026-11-22",
    tier="free",
    status="withdrawn",
    note="The vendor withdrew the service in April 2026. The client secret is yours to supply.",
    any_model=True,
    operations=("chat",),
    headers={"user-agent": AGENT},
    is_quirky=True,  # failures come with status 200, as objects that are no answers
    models=(
        ModelFacts(id="qwen3-coder-plus", name="Qwen3 Coder Plus", price=price(1, 4)),
        ModelFacts(id="kimi-k2", name="Kimi K2", price=price(1, 4)),
        ModelFacts(id="kimi-k2-thinking", name="Kimi K2 Thinking", price=price(1.5, 6)),
        ModelFacts(id="kimi-k2.5", name="Kimi K2.5"),
        ModelFacts(id="deepseek-r1", name="DeepSeek R1", price=price(0.75, 3)),
        ModelFacts(id="deepseek-v3.2-chat", name="DeepSeek V3.2 Chat", price=price(0.5, 2)),
        ModelFacts(id="deepseek-v3.2-reasoner", name="DeepSeek V3.2 Reasoner", price=price(0.75, 3)),
        ModelFacts(id="minimax-m2.1", name="MiniMax M2.1"),
        ModelFacts(id="glm-4.7", name="GLM 4.7", refuses_system=True, price=price(0.75, 3)),
    ),
)
THINKING = {
    "glm-": ("chat_template_kwargs", Raw(b'{"enable_thinking":true,"clear_thinking":false}')),
    "minimax-": ("reasoning_split", Raw(b"true")),
}
"""How a family's thinking is switched on."""


class IFlow(FactsProvider):
    def adapt(self, request: ChatRequest, model: ModelFacts) -> ChatRequest:
        request = super().adapt(request, model)
        family = next((family for family in THINKING if model.id.startswith(family)), None)
        wanted = request.reasoning
        if family is None or wanted is None:
            return request
        extensions = request.extensions.get(self.facts.dialect, {})
        if wanted.effort != "none" and wanted.budget_tokens != 0:
            extensions = {**extensions, THINKING[family][0]: THINKING[family][1]}
        return msgspec.structs.replace(
            request, reasoning=None, extensions={**request.extensions, self.facts.dialect: extensions}
        )

    def prepare(self, call: Call) -> HttpRequest:
        request = super().prepare(call)
        if call.account.credential is None:
            return request
        session = f"session-{uuid.uuid5(uuid.NAMESPACE_OID, call.session or call.request_id)}"
        milliseconds = str(int(call.now_s * 1000))
        key = call.account.credential.access.reveal().encode()
        signed = hmac.new(key, f"{AGENT}:{session}:{milliseconds}".encode(), hashlib.sha256)
        signature = {
            "session-id": session,
            "x-iflow-timestamp": milliseconds,
            "x-iflow-signature": signed.hexdigest(),
        }
        return msgspec.structs.replace(request, headers={**request.headers, **signature, "user-agent": AGENT})

    def bucket(self, model: ModelFacts) -> str:
        """There is one limit for all that an account does."""
        return self.facts.name


@hookimpl
def register_providers() -> list[IFlow]:
    return [IFlow(FACTS)]
