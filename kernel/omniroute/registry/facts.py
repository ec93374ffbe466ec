"""`[providers.NAME]`: facts overridden field by field, and facts made of nothing but the table."""

from collections.abc import Iterator
from typing import Any

import msgspec

from omniroute.base_url import check_base_url
from omniroute.contracts import ModelFacts, ProviderFacts, TimeoutFacts
from omniroute.settings import ProviderSettings

__all__ = ["KEYLESS", "changed_facts", "new_facts", "references"]

KEYLESS = "none"
"""The auth scheme of providers that want no credential; nobody registers it."""
API_KEY = "api-key"
AS_WRITTEN = tuple(
    field
    for field in ProviderFacts.__struct_fields__
    if field in ProviderSettings.__struct_fields__
    and field not in {"base_url", "headers", "models", "timeouts", "model_timeouts", "limits", "breaker"}
)


def new_facts(name: str, table: ProviderSettings, *, has_key: bool) -> ProviderFacts:
    """A provider made of its table, which has a dialect and a base URL. Without a list it takes any model."""
    facts = ProviderFacts(
        name=name, dialect="", base_url="", auth=API_KEY if has_key else KEYLESS, any_model=table.models is None
    )
    return changed_facts(facts, table)


def changed_facts(facts: ProviderFacts, table: ProviderSettings) -> ProviderFacts:
    """The facts with every field that the table sets; headers and timeouts are merged, one by one."""
    changes: dict[str, Any] = {field: value for field in AS_WRITTEN if (value := getattr(table, field)) is not None}
    if table.base_url is not None:
        changes["base_url"] = check_base_url(table.base_url)
    if table.headers is not None:
        own = {name.lower(): value for name, value in facts.headers.items()}
        changes["headers"] = own | {name.lower(): value.reveal() for name, value in table.headers.items()}
    if table.models is not None:
        known = {model.id: model for model in facts.models}
        changes["models"] = tuple(known.get(model) or ModelFacts(id=model) for model in dict.fromkeys(table.models))
    if table.timeouts is not None:
        changes["timeouts"] = table.timeouts.over(facts.timeouts)
    for field in ("limits", "breaker"):
        if (inner := getattr(table, field)) is not None:
            given = {name: value for name, value in msgspec.structs.asdict(inner).items() if value is not None}
            changes[field] = msgspec.structs.replace(getattr(facts, field), **given)
    if table.model_timeouts is not None:
        stated = facts.model_timeouts
        own_timeouts = {
            model: timeouts.over(stated.get(model, TimeoutFacts())) for model, timeouts in table.model_timeouts.items()
        }
        changes["model_timeouts"] = {**stated, **own_timeouts}
    if facts.oauth is not None and (client := _own_client(table)):
        changes["oauth"] = msgspec.structs.replace(facts.oauth, **client)
    return msgspec.structs.replace(facts, **changes)


def _own_client(table: ProviderSettings) -> dict[str, Any]:
    """The user's own OAuth client, over the vendor's public one."""
    own: dict[str, Any] = {}
    if table.oauth_client_id is not None:
        own |= {"client_id": table.oauth_client_id, "client_id_env": ()}
    if table.oauth_client_secret is not None:
        own["client_secret"] = table.oauth_client_secret
    if table.oauth_redirect_url is not None:
        own |= {"paste_url": table.oauth_redirect_url, "always_paste": True}
    return own


def references(facts: ProviderFacts) -> Iterator[tuple[str, str]]:
    """(field, name) of everything a provider's facts refer to."""
    yield "dialect", facts.dialect
    yield from (("auth", scheme) for scheme in (facts.auth, *facts.auth_also))
    if facts.transport is not None:
        yield "transport", facts.transport
    yield from (("drops", field) for field in facts.drops)
    for model in facts.models:
        yield from (("drops", field) for field in model.drops)
        if model.dialect is not None:
            yield "dialect", model.dialect
