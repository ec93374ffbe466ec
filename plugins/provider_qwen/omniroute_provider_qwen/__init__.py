"""Qwen Code by sign-in with a device code: OpenAI's dialect, at an address that comes with the token.

Facts as OmniRoute 1.0.6 and 3.7.9 shipped them; compared on 2026-11-22. The vendor withdrew the free tier in April 2026.
"""

from collections.abc import Mapping

import msgspec

from omniroute.api import (
    ChatRequest,
    FactsProvider,
    LoginFile,
    LoginPlace,
    Loss,
    ModelFacts,
    OAuthFacts,
    Price,
    ProviderFacts,
    QuotaExhausted,
    UpstreamError,
    hookimpl,
)

__all__ = ["FACTS", "Qwen", "register_providers"]


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
    client_id="f0304373b74a44d2b584a3fb70ca9e56",
    client_id_env=("QWEN_OAUTH_CLIENT_ID",),
    device_url="https://chat.qwen.ai/api/v1/oauth2/device/code",
    token_url="https://chat.qwen.ai/api/v1/oauth2/token",
    scopes=("openid", "profile", "email", "model.completion"),
    definitive_errors=("invalid_grant", "invalid_request"),
    token_fields={"resource_url": ("resource_url",)},
    base_url="{resource_url}/v1",
    base_url_hosts=("qwen.ai", "aliyuncs.com"),
)
LOGIN = LoginFile(
    program="Qwen Code",
    name="qwen-code",
    places=(LoginPlace(under="QWEN_HOME", path="oauth_creds.json"), LoginPlace(path=".qwen/oauth_creds.json")),
    access=("access_token",),
    refresh=("refresh_token",),
    expires_at=("expiry_date",),
    metadata={"resource_url": ("resource_url",)},
    source="https://github.com/QwenLM/qwen-code, packages/core/src/qwen and config/storage.ts",
    checked="2026-11-22",
)
FACTS = ProviderFacts(
    name="qwen",
    dialect="openai-chat",
    base_url="https://portal.qwen.ai/v1",
    auth="oauth-device",
    auth_also=("imported-token",),
    oauth=OAUTH,
    aliases=("qw",),
    display_name="Qwen Code",
    docs_url="https://qwenlm.github.io/qwen-code-docs/",
    terms_url="https://chat.qwen.ai/legal-agreement/terms-of-service",
    checked="2026-11-22",
    tier="free",
    status="withdrawn",
    note="The vendor withdrew the free tier of this sign-in in April 2026; it allowed about 2,000 requests a day, 60 a minute.",
    any_model=True,
    logins=(LOGIN,),
    headers={"x-dashscope-authtype": "qwen-oauth", "x-dashscope-cachecontrol": "enable"},
    models=(
        ModelFacts(id="coder-model", name="Qwen3.6 (Coder Model)"),
        ModelFacts(id="qwen3-coder-plus", name="Qwen3 Coder Plus", price=price(1, 4)),
        ModelFacts(id="qwen3-coder-flash", name="Qwen3 Coder Flash", price=price(0.5, 2)),
        ModelFacts(id="vision-model", name="Qwen3 Vision Model", capabilities=("vision",), price=price(1.5, 6)),
    ),
)
MEANS: Mapping[str, type[UpstreamError]] = {"insufficient_quota": QuotaExhausted, "quota_exceeded": QuotaExhausted}
"""The day's requests are used up, whatever the status."""


class Qwen(FactsProvider):
    means = MEANS

    def adapt(self, request: ChatRequest, model: ModelFacts) -> ChatRequest:
        """While a model thinks it cannot be made to call a tool; asked for both it answers 400."""
        request = super().adapt(request, model)
        choice, wanted = request.tool_choice, request.reasoning
        if choice is None or choice.mode not in {"required", "tool"}:
            return request
        if wanted is None or wanted.effort == "none" or wanted.budget_tokens == 0:
            return request
        loss = Loss(pointer="/tool_choice", kind="approximated", reason=f"{model.id} chooses itself while it thinks")
        free = msgspec.structs.replace(choice, mode="auto", name=None)
        return msgspec.structs.replace(request, tool_choice=free, losses=(*request.losses, loss))

    def bucket(self, model: ModelFacts) -> str:
        """There is one limit for all that an account does."""
        return self.facts.name


@hookimpl
def register_providers() -> list[Qwen]:
    return [Qwen(FACTS)]
