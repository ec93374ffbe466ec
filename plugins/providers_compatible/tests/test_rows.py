import pytest

import omniroute_providers_compatible as plugin
from omniroute.api import Account, CredentialPlace, FactsProvider, HttpResponse, RateLimited
from omniroute.testing import check_provider

PROVIDERS = {provider.facts.name: provider for provider in plugin.register_providers()}


@pytest.mark.parametrize("provider", PROVIDERS.values(), ids=PROVIDERS)
def test_each_row_is_a_provider_the_kernel_can_work_with(provider):
    check_provider(provider)


def test_no_prefix_stands_there_twice():
    prefixes = [prefix for facts in plugin.ROWS for prefix in (facts.name, *facts.aliases)]
    assert sorted(set(prefixes)) == sorted(prefixes)


@pytest.mark.parametrize("facts", plugin.ROWS, ids=lambda facts: facts.name)
def test_a_row_names_its_source_and_lets_new_models_pass(facts):
    assert (facts.checked, facts.any_model) == ("2026-11-22", True)
    assert facts.docs_url
    assert facts.models
    assert all(model.name for model in facts.models)


@pytest.mark.parametrize("facts", plugin.ROWS, ids=lambda facts: facts.name)
def test_a_row_gives_the_api_root_and_no_endpoint(facts):
    assert facts.base_url.startswith("https://")
    assert facts.base_url.endswith("/v1")


@pytest.mark.parametrize(("name", "listed"), [("groq", True), ("siliconflow", True), ("hyperbolic", False)])
def test_models_are_listed_where_the_gateway_has_a_list(name, listed):
    provider = PROVIDERS[name]
    account = Account(provider=name, name="a", base_url=provider.facts.base_url)
    assert (provider.list_models(account, CredentialPlace()) is not None) == listed


def test_a_row_needs_no_code():
    assert {type(provider) for provider in PROVIDERS.values()} == {FactsProvider}
    found = PROVIDERS["groq"].classify(HttpResponse(status=429, headers={"retry-after": "2"}))
    assert (type(found), found.retry_after_s) == (RateLimited, 2)


def test_no_row_calls_a_model_free_for_want_of_a_price():
    prices = [model.price for facts in plugin.ROWS for model in facts.models if model.price]
    assert prices
    assert all(price.input_usd and price.output_usd and price.as_of for price in prices)
