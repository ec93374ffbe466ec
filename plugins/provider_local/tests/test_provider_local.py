import pytest

from omniroute.api import Account, CredentialPlace, Probe, Settings, SettingsError
from omniroute.testing import check_provider
from omniroute_provider_local import FACTS, KNOWN, Local, Server, register_providers


def registered(*servers):
    section = {"servers": list(servers)} if servers else {}
    (provider,) = register_providers(Settings(plugin_sections={"provider-local": section}))
    return provider


def test_the_four_usual_servers_are_looked_for_at_their_own_doors():
    assert [(probe.name, probe.url, probe.base_url) for probe in registered().probe()] == [
        ("ollama", "http://127.0.0.1:11434/api/version", "http://127.0.0.1:11434/v1"),
        ("llama.cpp", "http://127.0.0.1:8080/props", "http://127.0.0.1:8080/v1"),
        ("lm-studio", "http://127.0.0.1:1234/api/v0/models", "http://127.0.0.1:1234/v1"),
        ("vllm", "http://127.0.0.1:8000/version", "http://127.0.0.1:8000/v1"),
    ]


@pytest.mark.parametrize(
    ("server", "probe"),
    [
        pytest.param(
            {"name": "lab", "url": "http://127.0.0.1:9090/v1", "probe": "/health"},
            Probe(
                name="lab",
                url="http://127.0.0.1:9090/health",
                base_url="http://127.0.0.1:9090/v1",
                display_name="lab",
            ),
            id="a path",
        ),
        pytest.param(
            {"name": "lab", "url": "http://localhost:9090/v1/"},
            Probe(
                name="lab",
                url="http://localhost:9090/v1/models",
                base_url="http://localhost:9090/v1",
                display_name="lab",
            ),
            id="no path",
        ),
        pytest.param(
            {"name": "lab", "url": "http://[::1]:9090/v1", "probe": "http://[::1]:9091/up"},
            Probe(name="lab", url="http://[::1]:9091/up", base_url="http://[::1]:9090/v1", display_name="lab"),
            id="a URL",
        ),
    ],
)
def test_settings_add_a_server(server, probe):
    assert registered(server).probe()[len(KNOWN) :] == (probe,)


def test_settings_move_a_known_server():
    probes = registered({"name": "ollama", "url": "http://127.0.0.1:9999/v1", "probe": "/api/version"}).probe()
    assert (len(probes), probes[0].url, probes[0].display_name) == (
        4,
        "http://127.0.0.1:9999/api/version",
        "Ollama",
    )


@pytest.mark.parametrize(
    "server",
    [
        {"name": "lab", "url": "http://192.168.0.7:9090/v1"},
        {"name": "lab", "url": "http://gpu.example/v1"},
        {"name": "lab", "url": "http://127.0.0.1:9090/v1", "probe": "http://192.168.0.7/health"},
        {"name": "lab", "url": "http://127.0.0.1:9090/v1", "probe": "//elsewhere.example/health"},
        {"name": "lab", "url": "http://127.0.0.1.example/v1"},
        {"name": "lab", "url": "file:///etc/passwd"},
        {"name": "lab", "url": "http://[::1/v1"},
    ],
)
def test_a_server_elsewhere_is_refused_with_the_way_out(server):
    with pytest.raises(SettingsError, match=r"lab: .* is not on this machine; .*\[providers.NAME\]"):
        registered(server)


@pytest.mark.parametrize(
    "section",
    [
        {"servers": [{"name": "lab"}]},
        {"servers": [{"name": "lab", "url": "http://127.0.0.1/v1", "prob": "/x"}]},
        {"x": 1},
    ],
)
def test_a_misspelt_option_is_refused(section):
    with pytest.raises(SettingsError, match="provider-local"):
        register_providers(Settings(plugin_sections={"provider-local": section}))


def test_it_passes_the_check_every_provider_must_pass():
    check_provider(Local(KNOWN))


def test_an_account_is_asked_for_its_own_models_without_a_key():
    account = Account(provider="local", name="vllm", base_url="http://127.0.0.1:8000/v1", origin="discovered")
    listing = Local([Server(name="vllm", url=account.base_url)]).list_models(account, CredentialPlace())
    assert (listing.request.url, listing.request.headers) == ("http://127.0.0.1:8000/v1/models", {})


def test_no_model_is_claimed_that_no_server_has_listed():
    assert (FACTS.models, FACTS.any_model, FACTS.auth) == ((), False, "none")
