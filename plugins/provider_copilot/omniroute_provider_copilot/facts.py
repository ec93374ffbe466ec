"""What is known of GitHub Copilot.

Sources: OmniRoute 1.0.6 and 3.7.9; compared on 2026-11-22. Prices are those of the API as those releases had them, for showing
what a subscription spares.
"""

from omniroute.api import (
    CredentialPlace,
    ExchangeFacts,
    LoginFile,
    LoginPlace,
    ModelFacts,
    OAuthFacts,
    Price,
    ProviderFacts,
    UserinfoFacts,
)

__all__ = ["ALSO_CALLED", "FACTS", "GITHUB_HEADERS", "INCLUDED", "USAGE_URL"]

RESPONSES = "openai-responses"
USAGE_URL = "https://api.github.com/copilot_internal/user"
INCLUDED = frozenset({"gpt-4.1", "gpt-4o", "gpt-4o-mini", "gpt-5-mini", "oswe-vscode-prime"})
"""Models that cost a paid plan no premium requests (https://docs.github.com/en/copilot/concepts/billing/copilot-requests)."""
ALSO_CALLED = {
    "claude-4.5-opus": "claude-opus-4-5-20251101",
    "claude-opus-4.5": "claude-opus-4-5-20251101",
    "gemini-3-flash": "gemini-3-flash-preview",
    "gemini-3-pro": "gemini-3-pro-preview",
    "raptor-mini": "oswe-vscode-prime",
}
"""Names that people have in their combos, and the one that the API takes."""
NO_TEMPERATURE = ("temperature",)
"""The API refuses it for models made for Codex."""
EDITOR = {"editor-version": "vscode/1.117.0", "editor-plugin-version": "copilot-chat/0.45.1"}
"""The API refuses requests that do not name an editor."""
GITHUB_HEADERS = {**EDITOR, "accept": "application/json", "x-github-api-version": "2022-11-28"}
AS_GRANT = CredentialPlace(header="authorization", prefix="token ")


def price(input_usd: float, output_usd: float, cached_usd: float | None = None) -> Price:
    """From the cache it is half as much unless given, and thinking half as much again."""
    return Price(
        input_usd=input_usd,
        output_usd=output_usd,
        cached_usd=input_usd / 2 if cached_usd is None else cached_usd,
        cache_write_usd=input_usd,
        reasoning_usd=output_usd * 1.5,
        as_of="OmniRoute 1.0.6",
    )


OAUTH = OAuthFacts(
    client_id="Iv1.b507a08c87ecfe98",
    client_id_env=("GITHUB_OAUTH_CLIENT_ID",),
    device_url="https://github.com/login/device/code",
    token_url="https://github.com/login/oauth/access_token",
    scopes=("read:user",),
    pkce=False,
    headers={"accept": "application/json"},
    definitive_errors=("bad_refresh_token", "incorrect_client_credentials", "invalid_grant"),
    userinfo=UserinfoFacts(
        url="https://api.github.com/user", headers=GITHUB_HEADERS, place=AS_GRANT, fields={"login": ("login",)}
    ),
    exchange=ExchangeFacts(
        url="https://api.github.com/copilot_internal/v2/token",
        headers=GITHUB_HEADERS,
        place=AS_GRANT,
        expires_at=("expires_at",),
        fields={"plan": ("sku",), "api": ("endpoints", "api")},
    ),
    base_url="{api}",
    base_url_hosts=("githubcopilot.com",),
)


def login(file: str) -> LoginFile:
    """Newer plugins of editors write `apps.json`, older ones `hosts.json`; other hosts than github.com are somebody's own."""
    return LoginFile(
        program="GitHub Copilot",
        name="copilot",
        places=(
            LoginPlace(under="XDG_CONFIG_HOME", path=f"github-copilot/{file}", systems=("linux", "darwin")),
            LoginPlace(under="LOCALAPPDATA", path=f"github-copilot/{file}", systems=("win32",)),
            LoginPlace(path=f".config/github-copilot/{file}"),
        ),
        entries=r"github\.com(:[\w.]+)?",
        access=("oauth_token",),
        metadata={"login": ("user",)},
        source="files of copilot.vim 1.x and copilot-language-server",
        checked="2026-11-22",
    )


FACTS = ProviderFacts(
    name="github",
    dialect="openai-chat",
    base_url="https://api.githubcopilot.com",
    auth="oauth-device",
    auth_also=("token-exchange", "imported-token"),
    oauth=OAUTH,
    aliases=("gh",),
    display_name="GitHub Copilot",
    docs_url="https://docs.github.com/en/copilot",
    terms_url="https://docs.github.com/en/site-policy/github-terms/github-terms-for-additional-products-and-features",
    checked="2026-11-22",
    tier="subscription",
    note="Copilot is sold for use in editors and GitHub's own tools; other programs may cost the account.",
    operations=("chat",),
    headers={
        **EDITOR,
        "copilot-integration-id": "vscode-chat",
        "openai-intent": "conversation-panel",
        "x-github-api-version": "2025-04-01",
    },
    logins=(login("apps.json"), login("hosts.json")),
    own_clients=("GitHubCopilotChat/", "GithubCopilot/", "copilot/"),
    forwards=("user-agent", "x-initiator"),
    any_model=True,
    models=(
        ModelFacts(id="gpt-4.1", name="GPT-4.1", price=price(2.5, 10)),
        ModelFacts(id="gpt-4o", name="GPT-4o"),
        ModelFacts(id="gpt-4o-mini", name="GPT-4o Mini"),
        ModelFacts(id="gpt-5-mini", name="GPT-5 Mini", price=price(0.75, 3)),
        ModelFacts(id="gpt-5", name="GPT-5", price=price(3, 12)),
        ModelFacts(id="gpt-5.1", name="GPT-5.1"),
        ModelFacts(id="gpt-5.2", name="GPT-5.2"),
        ModelFacts(id="gpt-5-codex", name="GPT-5 Codex", dialect=RESPONSES, drops=NO_TEMPERATURE),
        ModelFacts(
            id="gpt-5.1-codex",
            name="GPT-5.1 Codex",
            dialect=RESPONSES,
            drops=NO_TEMPERATURE,
            price=price(4, 16),
        ),
        ModelFacts(id="gpt-5.1-codex-mini", name="GPT-5.1 Codex Mini", dialect=RESPONSES, drops=NO_TEMPERATURE),
        ModelFacts(
            id="gpt-5.1-codex-max",
            name="GPT-5.1 Codex Max",
            dialect=RESPONSES,
            drops=NO_TEMPERATURE,
            price=price(8, 32),
        ),
        ModelFacts(id="gpt-5.2-codex", name="GPT-5.2 Codex", dialect=RESPONSES, drops=NO_TEMPERATURE),
        ModelFacts(id="gpt-5.3-codex", name="GPT-5.3 Codex", dialect=RESPONSES, drops=NO_TEMPERATURE),
        ModelFacts(id="gpt-5.4", name="GPT-5.4", dialect=RESPONSES),
        ModelFacts(id="gpt-5.4-mini", name="GPT-5.4 Mini", dialect=RESPONSES),
        ModelFacts(
            id="gpt-5.5",
            name="GPT-5.5",
            dialect=RESPONSES,
            context_tokens=1_050_000,
            capabilities=("tools", "vision", "reasoning"),
        ),
        ModelFacts(id="claude-haiku-4.5", name="Claude Haiku 4.5", price=price(0.5, 2.5, 0.05)),
        ModelFacts(id="claude-sonnet-4", name="Claude Sonnet 4"),
        ModelFacts(id="claude-sonnet-4.5", name="Claude Sonnet 4.5", price=price(3, 15, 0.3)),
        ModelFacts(id="claude-sonnet-4.6", name="Claude Sonnet 4.6"),
        ModelFacts(id="claude-opus-4.1", name="Claude Opus 4.1"),
        ModelFacts(id="claude-opus-4-5-20251101", name="Claude Opus 4.5", price=price(5, 25, 0.5)),
        ModelFacts(id="claude-opus-4.6", name="Claude Opus 4.6"),
        ModelFacts(id="claude-opus-4.7", name="Claude Opus 4.7", context_tokens=1_000_000),
        ModelFacts(id="gemini-2.5-pro", name="Gemini 2.5 Pro", price=price(2, 12, 0.25)),
        ModelFacts(
            id="gemini-3-flash-preview",
            name="Gemini 3 Flash",
            context_tokens=1_048_576,
            max_output_tokens=65_536,
            capabilities=("tools", "vision"),
            price=price(0.5, 3, 0.03),
        ),
        ModelFacts(
            id="gemini-3-pro-preview",
            name="Gemini 3 Pro",
            context_tokens=1_048_576,
            max_output_tokens=65_535,
            capabilities=("tools", "vision"),
            price=price(2, 12, 0.25),
        ),
        ModelFacts(id="gemini-3.1-pro-preview", name="Gemini 3.1 Pro", context_tokens=1_048_576),
        ModelFacts(id="grok-code-fast-1", name="Grok Code Fast 1", price=price(0.5, 2)),
        ModelFacts(id="oswe-vscode-prime", name="Raptor Mini"),
    ),
)
