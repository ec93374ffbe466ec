"""What is known of Gemini Code Assist by Google sign-in.

Sources: OmniRoute 1.0.6 and 3.7.9, windows from the CLIProxyAPI registry; compared on 2026-11-22. Prices are those of the API,
for showing what the plan spares.
"""

from omniroute.api import LoginFile, LoginPlace, ModelFacts, OAuthFacts, Price, ProviderFacts, UserinfoFacts

__all__ = ["FACTS"]

AS_OF = "OmniRoute 1.0.6"
WINDOW, LONGEST = 1_048_576, 65_536
ALL_ROUND = ("tools", "vision", "reasoning")
PRO_PRICE = Price(input_usd=2, output_usd=12, cached_usd=0.25, cache_write_usd=2, reasoning_usd=18, as_of=AS_OF)


def model(model_id: str, name: str, price: Price | None = None) -> ModelFacts:
    return ModelFacts(
        id=model_id,
        name=name,
        context_tokens=WINDOW,
        max_output_tokens=LONGEST,
        capabilities=ALL_ROUND,
        price=price,
    )


OAUTH = OAuthFacts(
    client_id="681255809395-oo8ft2oprdrnp9e3aqf6av3hmdib135j.apps.googleusercontent.com",
    client_id_env=("GEMINI_CLI_OAUTH_CLIENT_ID", "GEMINI_OAUTH_CLIENT_ID"),
    client_secret_env=("GEMINI_CLI_OAUTH_CLIENT_SECRET", "GEMINI_OAUTH_CLIENT_SECRET"),
    needs_client_secret=True,
    authorize_url="https://accounts.google.com/o/oauth2/v2/auth",
    authorize_params={"access_type": "offline", "prompt": "consent"},
    token_url="https://oauth2.googleapis.com/token",
    scopes=(
        "https://www.googleapis.com/auth/cloud-platform",
        "https://www.googleapis.com/auth/userinfo.email",
        "https://www.googleapis.com/auth/userinfo.profile",
    ),
    rotates=False,
    userinfo=UserinfoFacts(url="https://www.googleapis.com/oauth2/v1/userinfo?alt=json", fields={"email": ("email",)}),
)
LOGIN = LoginFile(
    program="Gemini CLI",
    name="gemini-cli",
    places=(
        LoginPlace(under="GEMINI_CLI_HOME", path=".gemini/oauth_creds.json"),
        LoginPlace(path=".gemini/oauth_creds.json"),
    ),
    access=("access_token",),
    refresh=("refresh_token",),
    expires_at=("expiry_date",),
    source="https://github.com/google-gemini/gemini-cli, packages/core/src/utils/paths.ts and code_assist/oauth2.ts",
    checked="2026-11-22",
)
FACTS = ProviderFacts(
    name="gemini-cli",
    dialect="gemini",
    base_url="https://cloudcode-pa.googleapis.com/v1internal",
    auth="oauth",
    auth_also=("imported-token",),
    oauth=OAUTH,
    aliases=("gc",),
    display_name="Gemini CLI",
    docs_url="https://cloud.google.com/gemini/docs",
    terms_url="https://policies.google.com/terms",
    checked="2026-11-22",
    tier="subscription",
    status="withdrawn",
    note=(
        "Google ended the free tier of this route in June 2026; accounts with a Code Assist licence may still work. "
        "The client secret is yours to supply: the public Gemini CLI carries it."
    ),
    any_model=True,
    operations=("chat",),
    envelope="response",
    own_clients=("GeminiCLI/", "GeminiCLI-"),
    forwards=("user-agent", "x-goog-api-client"),
    logins=(LOGIN,),
    models=(
        model("gemini-3.1-pro-preview", "Gemini 3.1 Pro Preview"),
        model("gemini-3.1-pro-preview-customtools", "Gemini 3.1 Pro Preview Custom Tools"),
        model("gemini-3.1-flash-lite-preview", "Gemini 3.1 Flash Lite Preview"),
        model("gemini-3-pro-preview", "Gemini 3 Pro Preview", PRO_PRICE),
        model(
            "gemini-3-flash-preview",
            "Gemini 3 Flash Preview",
            Price(input_usd=0.5, output_usd=3, cached_usd=0.03, cache_write_usd=0.5, reasoning_usd=4.5, as_of=AS_OF),
        ),
        model("gemini-2.5-pro", "Gemini 2.5 Pro", PRO_PRICE),
        model(
            "gemini-2.5-flash",
            "Gemini 2.5 Flash",
            Price(input_usd=0.3, output_usd=2.5, cached_usd=0.03, cache_write_usd=0.3, reasoning_usd=3.75, as_of=AS_OF),
        ),
        model(
            "gemini-2.5-flash-lite",
            "Gemini 2.5 Flash Lite",
            Price(
                input_usd=0.15,
                output_usd=1.25,
                cached_usd=0.015,
                cache_write_usd=0.15,
                reasoning_usd=1.875,
                as_of=AS_OF,
            ),
        ),
    ),
)
