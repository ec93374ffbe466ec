"""What is known of Codex by ChatGPT subscription.

Sources: OmniRoute 1.0.6 and 3.7.9, requests of Codex 0.169.0; compared on 2026-11-22. Prices are those of the API as those
releases had them, for showing what a subscription spares.
"""

import msgspec

from omniroute.api import LoginFile, LoginPlace, ModelFacts, OAuthFacts, Price, ProviderFacts

__all__ = ["EFFORTS", "FACTS", "USAGE_URL"]

USAGE_URL = "https://chatgpt.com/backend-api/wham/usage"
EFFORTS = {"none": "None", "low": "Low", "medium": "Medium", "high": "High", "xhigh": "xHigh"}
"""A suffix of the model's name that says how much it is to think, and what people read of it."""
ALL_ROUND = ("tools", "vision", "reasoning")


def price(input_usd: float, output_usd: float, as_of: str) -> Price:
    """From the cache it is half as much, and thinking half as much again."""
    return Price(
        input_usd=input_usd,
        output_usd=output_usd,
        cached_usd=input_usd / 2,
        cache_write_usd=input_usd,
        reasoning_usd=output_usd * 1.5,
        as_of=f"OmniRoute {as_of}",
    )


def at(base: ModelFacts, *efforts: str) -> tuple[ModelFacts, ...]:
    """The model with one effort each."""
    return tuple(
        msgspec.structs.replace(base, id=f"{base.id}-{effort}", name=f"{base.name} ({EFFORTS[effort]})")
        for effort in efforts
    )


GPT_55 = ModelFacts(id="gpt-5.5", name="GPT 5.5", context_tokens=1_050_000, capabilities=ALL_ROUND)
GPT_53 = ModelFacts(id="gpt-5.3-codex", name="GPT 5.3 Codex", price=price(5, 20, "3.7.9"))
MINI = ModelFacts(id="gpt-5.1-codex-mini", name="GPT 5.1 Codex Mini", price=price(1.5, 6, "1.0.6"))

OAUTH = OAuthFacts(
    client_id="app_EMoamEEZ73f0CkXaXp7hrann",
    client_id_env=("CODEX_OAUTH_CLIENT_ID",),
    authorize_url="https://auth.openai.com/oauth/authorize",
    authorize_params={
        "id_token_add_organizations": "true",
        "codex_cli_simplified_flow": "true",
        "originator": "codex_cli_rs",
    },
    token_url="https://auth.openai.com/oauth/token",
    scopes=("openid", "profile", "email", "offline_access"),
    redirect_path="/auth/callback",
    redirect_ports=(1455,),
    refresh_params={"scope": "openid profile email offline_access"},
    definitive_errors=(
        "invalid_grant",
        "refresh_token_expired",
        "refresh_token_invalidated",
        "refresh_token_reused",
    ),
    claims={
        "account_id": ("https://api.openai.com/auth", "chatgpt_account_id"),
        "plan": ("https://api.openai.com/auth", "chatgpt_plan_type"),
        "email": ("email",),
    },
)
LOGIN = LoginFile(
    program="Codex",
    name="codex",
    places=(LoginPlace(under="CODEX_HOME", path="auth.json"), LoginPlace(path=".codex/auth.json")),
    access=("tokens", "access_token"),
    refresh=("tokens", "refresh_token"),
    id_token=("tokens", "id_token"),
    metadata={"account_id": ("tokens", "account_id")},
    source="https://developers.openai.com/codex/auth, and codex-rs/core/src/auth of Codex 0.169",
    checked="2026-11-22",
)
FACTS = ProviderFacts(
    name="codex",
    dialect="openai-responses",
    base_url="https://chatgpt.com/backend-api/codex",
    auth="oauth",
    auth_also=("imported-token",),
    oauth=OAUTH,
    aliases=("cx",),
    display_name="OpenAI Codex",
    docs_url="https://developers.openai.com/codex",
    terms_url="https://openai.com/policies/terms-of-use/",
    checked="2026-11-22",
    tier="subscription",
    note="A ChatGPT plan covers Codex; using it for other programs may be against its terms.",
    any_model=True,
    operations=("chat",),
    streams="always",
    drops=("temperature", "top_p", "presence_penalty", "frequency_penalty", "seed"),
    logins=(LOGIN,),
    own_clients=("codex_cli_rs/", "codex_exec/", "codex_vscode/", "codex-tui/"),
    forwards=(
        "originator",
        "session-id",
        "session_id",
        "thread-id",
        "user-agent",
        "version",
        "x-client-request-id",
        "x-codex-beta-features",
        "x-codex-turn-metadata",
        "x-codex-window-id",
        "x-openai-internal-codex-responses-lite",
    ),
    models=(
        GPT_55,
        *at(GPT_55, "low", "medium", "high", "xhigh"),
        ModelFacts(id="gpt-5.4", name="GPT 5.4", context_tokens=1_050_000),
        ModelFacts(id="gpt-5.4-mini", name="GPT 5.4 Mini", context_tokens=400_000),
        ModelFacts(id="gpt-5.3-codex-spark", name="GPT 5.3 Codex Spark", context_tokens=128_000),
        GPT_53,
        *at(GPT_53, "none", "low", "high", "xhigh"),
        ModelFacts(id="gpt-5.2-codex", name="GPT 5.2 Codex", price=price(5, 20, "1.0.6")),
        ModelFacts(id="gpt-5.2", name="GPT 5.2", price=price(5, 20, "1.0.6")),
        ModelFacts(id="gpt-5.1-codex-max", name="GPT 5.1 Codex Max", price=price(8, 32, "1.0.6")),
        ModelFacts(id="gpt-5.1-codex", name="GPT 5.1 Codex", price=price(4, 16, "1.0.6")),
        MINI,
        *at(MINI, "high"),
        ModelFacts(id="gpt-5.1", name="GPT 5.1", price=price(4, 16, "1.0.6")),
        ModelFacts(id="gpt-5-codex", name="GPT 5 Codex", price=price(3, 12, "1.0.6")),
        ModelFacts(id="gpt-5-codex-mini", name="GPT 5 Codex Mini", price=price(1, 4, "1.0.6")),
    ),
)
