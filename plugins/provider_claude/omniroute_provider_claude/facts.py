"""What is known of Claude by subscription.

Sources: OmniRoute 1.0.6 and 3.7.9, windows from the CLIProxyAPI registry, requests of Claude Code 2.1.330; compared on
2026-11-22. Prices are those of the API, for showing what a subscription spares.
"""

from omniroute.api import (
    CredentialPlace,
    LoginFile,
    LoginPlace,
    ModelFacts,
    OAuthFacts,
    Price,
    ProviderFacts,
    UserinfoFacts,
)

__all__ = ["BETA", "FACTS", "IDENTITY", "USAGE_URL", "VENDOR_TEXTS"]

BETA = "anthropic-beta"
IDENTITY = "You are Claude Code, Anthropic's official CLI for Claude."
"""The API takes a subscription's token only with this text as the first of the system."""
VENDOR_TEXTS = ("You are Claude Code", "You are a Claude agent")
"""How the vendor's own programs begin that text."""
USAGE_URL = "https://api.anthropic.com/api/oauth/usage"
ALL_ROUND = ("tools", "vision", "reasoning")


def price(input_usd: float, output_usd: float, cached_usd: float, as_of: str) -> Price:
    """Writing to the cache costs as much as any input, and thinking as any output."""
    return Price(
        input_usd=input_usd,
        output_usd=output_usd,
        cached_usd=cached_usd,
        cache_write_usd=input_usd,
        reasoning_usd=output_usd,
        as_of=f"OmniRoute {as_of}",
    )


OAUTH = OAuthFacts(
    client_id="9d1c250a-e61b-44d9-88ed-5944d1962f5e",
    client_id_env=("CLAUDE_OAUTH_CLIENT_ID",),
    authorize_url="https://claude.ai/oauth/authorize",
    authorize_params={"code": "true"},
    token_url="https://platform.claude.com/v1/oauth/token",
    scopes=(
        "org:create_api_key",
        "user:profile",
        "user:inference",
        "user:sessions:claude_code",
        "user:mcp_servers",
        "user:file_upload",
    ),
    paste_url="https://platform.claude.com/oauth/code/callback",
    encoding="json",
    sends_state=True,
    userinfo=UserinfoFacts(
        url="https://api.anthropic.com/api/oauth/profile",
        fields={
            "email": ("account", "email"),
            "organization": ("organization", "name"),
            "plan": ("organization", "organization_type"),
        },
    ),
)
LOGIN = LoginFile(
    program="Claude Code",
    name="claude-code",
    places=(
        LoginPlace(under="CLAUDE_CONFIG_DIR", path=".credentials.json"),
        LoginPlace(path=".claude/.credentials.json"),
    ),
    access=("claudeAiOauth", "accessToken"),
    refresh=("claudeAiOauth", "refreshToken"),
    expires_at=("claudeAiOauth", "expiresAt"),
    metadata={"plan": ("claudeAiOauth", "subscriptionType")},
    elsewhere={"darwin": "the Keychain, as 'Claude Code-credentials'"},
    source="https://code.claude.com/docs/en/iam, and files of Claude Code 2.1",
    checked="2026-11-22",
)
FACTS = ProviderFacts(
    name="claude",
    dialect="anthropic",
    base_url="https://api.anthropic.com/v1",
    auth="oauth",
    auth_also=("imported-token",),
    oauth=OAUTH,
    aliases=("cc",),
    display_name="Claude Code",
    docs_url="https://docs.claude.com/en/docs/claude-code",
    terms_url="https://www.anthropic.com/legal/consumer-terms",
    checked="2026-11-22",
    tier="subscription",
    note="The terms allow a subscription in Anthropic's own programs; using it in others may cost the account.",
    any_model=True,
    headers={BETA: "oauth-2025-04-20,claude-code-20250219"},
    query="beta=true",
    credential=CredentialPlace(header="authorization", prefix="Bearer "),
    own_clients=("claude-cli/",),
    imitators=("claude-cli/0.",),  # Qwen Code, with its own version (0.24.4, recorded 2026-11-22)
    env_keys=("CLAUDE_CODE_OAUTH_TOKEN",),  # of `claude setup-token`, https://code.claude.com/docs/en/iam, 2026-11-22
    logins=(LOGIN,),
    forwards=(
        "accept",
        "user-agent",
        "x-app",
        "x-claude-code-session-id",
        "anthropic-dangerous-direct-browser-access",
        "x-stainless-arch",
        "x-stainless-helper-method",
        "x-stainless-lang",
        "x-stainless-os",
        "x-stainless-package-version",
        "x-stainless-retry-count",
        "x-stainless-runtime",
        "x-stainless-runtime-version",
        "x-stainless-timeout",
    ),
    models=(
        ModelFacts(id="claude-opus-4-7", name="Claude Opus 4.7", context_tokens=1_000_000, capabilities=ALL_ROUND),
        ModelFacts(
            id="claude-opus-4-6",
            name="Claude Opus 4.6",
            context_tokens=1_000_000,
            max_output_tokens=128_000,
            capabilities=ALL_ROUND,
            price=price(5, 25, 2.5, "3.7.9"),
        ),
        ModelFacts(id="claude-sonnet-4-6", name="Claude Sonnet 4.6", context_tokens=200_000, capabilities=ALL_ROUND),
        ModelFacts(
            id="claude-opus-4-5-20251101",
            name="Claude Opus 4.5",
            context_tokens=200_000,
            max_output_tokens=64_000,
            capabilities=ALL_ROUND,
            price=price(15, 75, 7.5, "1.0.6"),
        ),
        ModelFacts(
            id="claude-sonnet-4-5-20250929",
            name="Claude Sonnet 4.5",
            context_tokens=200_000,
            max_output_tokens=64_000,
            capabilities=ALL_ROUND,
            price=price(3, 15, 1.5, "1.0.6"),
        ),
        ModelFacts(
            id="claude-haiku-4-5-20251001",
            name="Claude Haiku 4.5",
            context_tokens=200_000,
            max_output_tokens=64_000,
            capabilities=ALL_ROUND,
            price=price(0.5, 2.5, 0.25, "1.0.6"),
        ),
    ),
)
