#!/usr/bin/env python3
"""Write docs/providers.md from the facts of the providers that this repository ships; `--check` only says whether it is stale."""

import argparse
import inspect
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from omniroute.contracts import ModelFacts, Price, Provider, ProviderFacts
from omniroute.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "providers.md"
HEAD = """# Providers

What the installed plugins know of their upstreams: generated from their facts by `scripts/docs_providers.py`, and compared by
a test. `omniroute provider list` and `omniroute provider show NAME` say the same of an installation.

The prefix stands before the slash in model strings: `cc/claude-opus-4-6`. A date says when the facts were last compared with
their source. Where an upstream tells its models, its list counts and the models here are for who has no account yet; what
nobody knows is left out. Prices are US dollars per million tokens of prompt and answer, for showing costs; bills are the
vendors' own. A provider that is not here takes [a table in the settings](write-a-provider.md#1-a-table-in-the-settings).

"""
TIERS = {
    "subscription": (
        "Subscriptions",
        """An account serves the vendor's own client. Others are served when its owner allows it, having read the terms:
`omniroute account add NAME --allow-other-clients`.""",
    ),
    "api-key": ("By API key", ""),
    "cheap": ("Cheap", ""),
    "free": ("Free", ""),
}
SCHEMES = {
    "api-key": "API key",
    "none": "none",
    "oauth": "sign-in in a browser",
    "oauth-device": "sign-in by a code",
    "token-exchange": "a token that buys short-lived ones",
    "imported-token": "tokens of another program",
}


def shipped() -> list[Provider]:
    """The providers of this repository, by name."""
    found = []
    for folder in sorted((ROOT / "plugins").glob("provider*_*")):
        register = import_module(f"omniroute_{folder.name}").register_providers
        found += register(Settings()) if inspect.signature(register).parameters else register()
    return sorted(found, key=lambda provider: provider.facts.name)


def page(providers: list[Provider]) -> str:
    return HEAD + "\n".join(
        line for tier in TIERS for line in _tier(tier, [p for p in providers if p.facts.tier == tier])
    )


def _tier(tier: str, providers: list[Provider]) -> Iterator[str]:
    title, text = TIERS[tier]
    if not providers:
        return
    yield f"## {title}\n"
    if text:
        yield f"{text}\n"
    yield "| provider | prefix | dialect | sign-in | what is left | checked |"
    yield "|---|---|---|---|---|---|"
    yield from (_row(provider) for provider in providers)
    yield ""
    for provider in providers:
        yield from _details(provider.facts)


def _row(provider: Provider) -> str:
    facts = provider.facts
    prefixes = ", ".join(f"`{prefix}`" for prefix in (facts.name, *facts.aliases))
    name = facts.display_name or facts.name
    if facts.models:
        name = f"[{name}](#{_anchor(facts)})"
    ways = "; ".join(SCHEMES.get(scheme, scheme) for scheme in (facts.auth, *facts.auth_also))
    withdrawn = "**withdrawn** " if facts.status == "withdrawn" else ""
    return (
        f"| {withdrawn}{name} | {prefixes} | {_dialects(facts)} | {ways} | {_told(provider)} | {facts.checked or ''} |"
    )


def _dialects(facts: ProviderFacts) -> str:
    return ", ".join(dict.fromkeys([facts.dialect, *(model.dialect for model in facts.models if model.dialect)]))


def _told(provider: Provider) -> str:
    kind = type(provider)
    base = kind.__mro__[1] if len(kind.__mro__) > 2 else kind
    asked = kind.quota is not base.quota
    heard = kind.read_rate_headers is not base.read_rate_headers
    return "asked for, and told with answers" if asked and heard else "asked for" if asked else ""


def _details(facts: ProviderFacts) -> Iterator[str]:
    if not facts.models:
        return
    yield f"### {facts.display_name or facts.name}\n"
    if facts.note:
        yield f"{facts.note}\n"
    links = [
        f"[docs]({facts.docs_url})" if facts.docs_url else "",
        f"[terms]({facts.terms_url})" if facts.terms_url else "",
    ]
    if any(links):
        yield f"{' · '.join(filter(None, links))} · `{facts.base_url}`\n"
    if facts.oauth is not None and facts.oauth.needs_client_secret:
        yield f"Client secret: yours, in `{'` or `'.join(facts.oauth.client_secret_env)}`.\n"
    yield "| model | name | context | output | can | price |"
    yield "|---|---|---|---|---|---|"
    yield from (_model(facts, model) for model in facts.models)
    yield ""


def _model(facts: ProviderFacts, model: ModelFacts) -> str:
    cells = (
        f"`{(facts.aliases or (facts.name,))[0]}/{model.id}`",
        model.name or "",
        f"{model.context_tokens:,}" if model.context_tokens else "",
        f"{model.max_output_tokens:,}" if model.max_output_tokens else "",
        ", ".join(model.capabilities),
        _price(model.price),
    )
    return "| " + " | ".join(cells) + " |"


def _price(price: Price | None) -> str:
    if price is None or price.input_usd is None or price.output_usd is None:
        return ""
    return "free" if price.input_usd == price.output_usd == 0 else f"{price.input_usd:g} / {price.output_usd:g}"


def _anchor(facts: ProviderFacts) -> str:
    name = (facts.display_name or facts.name).lower()
    return "".join(c for c in name.replace(" ", "-") if c.isalnum() or c == "-")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say whether the page is stale")
    text = page(shipped())
    if not parser.parse_args().check:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    print(f"{PAGE.name} is stale: run scripts/docs_providers.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
