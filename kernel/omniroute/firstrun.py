"""What a person sees when the gateway starts, above all the first time: what was found here, and what to type next.

Credentials that lie around are named, never read and never used. A new client key is shown on a terminal only; elsewhere
the text would end in somebody's log.
"""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from omniroute import __version__
from omniroute.contracts import ListedModel, ProviderFacts, Translator
from omniroute.discovery import Found
from omniroute.importing.logins import is_there
from omniroute.importing.values import Machine, variables_of
from omniroute.secret import Secret

__all__ = [
    "Start",
    "banner",
    "clients_of",
    "command_name",
    "credentials_in",
    "data_dir_option",
    "earlier_data",
    "logins_in",
]

SHOWN = 3
"""Names shown of a longer list."""
COLUMN = 34


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to say about a start."""

    url: str
    command: str
    """What a person types to run this program."""
    options: str = ""
    """What every command needs to find this gateway again: `--data-dir …`, or nothing."""
    configured: bool
    """Somebody has added an account or said something about one in the settings."""
    requires_client_key: bool
    key_file: Path
    new_key: Secret | None = None
    """Made at this start, which is then the first."""
    on_terminal: bool
    found: tuple[Found, ...] = ()
    variables: Mapping[str, str] = {}
    """Environment variable → provider whose key it seems to hold."""
    logins: tuple[str, ...] = ()
    """Programs that are signed in on this machine."""
    earlier: Path | None = None
    models: tuple[ListedModel, ...] = ()
    clients: Mapping[str, str] = {}
    """Whose clients can be pointed here → what their base URL has behind `url`."""


# --- what lies around -------------------------------------------------------------------------------------------------


def credentials_in(environ: Mapping[str, str], providers: Iterable[ProviderFacts]) -> dict[str, str]:
    """Variables that, by their names, hold keys of providers: `ACME_API_KEY` for `acme`. Values are not read."""
    names = {variable: facts.name for facts in providers for variable in variables_of(facts)}
    return {variable: names[variable] for variable in sorted(names) if variable in environ}


def logins_in(machine: Machine, providers: Iterable[ProviderFacts]) -> tuple[str, ...]:
    """Programs that have a file for their sign-in to a provider. The files are not opened."""
    logins = [login for facts in providers for login in facts.logins]
    return tuple(dict.fromkeys(login.program for login in logins if is_there(login, machine)))


def earlier_data(home: Path, data_dir: Path) -> Path | None:
    """The data directory of an OmniRoute from before this one, which is not ours to use."""
    directory = home / ".omniroute"
    return directory if directory.is_dir() and directory != data_dir else None


def clients_of(translators: Iterable[Translator]) -> dict[str, str]:
    """Whose clients can be pointed here, each once."""
    return {each.clients: each.client_root for each in translators if each.clients}


def command_name(environ: Mapping[str, str], argv0: str) -> str:
    """How this program was called, so that the same works for other commands."""
    if "UV_RUN_RECURSION_DEPTH" in environ:
        return "uv run omniroute"
    return "python -m omniroute" if Path(argv0).name == "__main__.py" else "omniroute"


# --- what is said -----------------------------------------------------------------------------------------------------


def banner(start: Start) -> str:
    """Many lines while nothing is configured, one or two afterwards."""
    head = f"omniroute {__version__} · listening on {start.url}"
    if start.configured:
        return "\n".join([f"{head} · {_count(len(start.models), 'model')}", *_keyless(start)])
    lines = [
        f"{head}   ({'first start, ' if start.new_key else ''}nothing configured)",
        *_section("Found on this machine", _findings(start)),
        *_section("Ready now", _ready(start)),
        *_section("Client key", _key(start)),
        *_keyless(start),
        *_section("Next", _next(start)),
    ]
    return "\n".join(line if not line else f"  {line}" for line in lines)


def _section(title: str, rows: Sequence[tuple[str, str]]) -> list[str]:
    if not rows:
        return []
    return ["", title, *(f"  {left:<{COLUMN}}{right}".rstrip() for left, right in rows)]


def _findings(start: Start) -> list[tuple[str, str]]:
    rows = [
        (f"✓ {one.probe.display_name} {_place(one)}", _some(one.models, "model")) for one in start.found if one.answers
    ]
    rest = [(f"✓ {program}", "signed in on this machine") for program in start.logins]
    rest += [(f"✓ {variable}", "in your environment") for variable in start.variables]
    if start.earlier is not None:
        rest.append((f"✓ {start.earlier}", "an earlier OmniRoute's data"))
    if rest:
        rows += [*rest, ("  not used until you say:", f"{start.command} import{start.options}   (shows a plan first)")]
    if missing := [f"{one.probe.display_name} {_place(one)}" for one in start.found if not one.answers]:
        rows.append((f"– {', '.join(missing)}", "  not running"))
    return rows


def _ready(start: Start) -> list[tuple[str, str]]:
    by_provider: dict[str, list[str]] = {}
    for model in start.models:
        by_provider.setdefault(model.provider, []).append(model.id)
    return [(_some(names), "") for names in by_provider.values()]


def _key(start: Start) -> list[tuple[str, str]]:
    if start.new_key is None or not start.requires_client_key:
        return []
    if start.on_terminal:
        return [(start.new_key.reveal(), ""), (f"also in {start.key_file}, for your clients", "")]
    return [(f"in {start.key_file}, for your clients", "")]


def _keyless(start: Start) -> list[str]:
    if start.requires_client_key:
        return []
    return ["", "No client key is required: every program on this machine can use your accounts."]


def _next(start: Start) -> list[tuple[str, str]]:
    local = {one.provider for one in start.found if one.answers}
    models = sorted(
        (model for model in start.models if model.kind == "model"), key=lambda model: model.provider not in local
    )
    ask = [
        ("ask", f'{start.command} ask "write fizzbuzz in python" -m {model.id}{start.options}') for model in models[:1]
    ]
    return [
        *ask,
        ("use more models", f"{start.command} account add PROVIDER --api-key-stdin{start.options}"),
        *(
            (f"connect {whose} clients", f"base URL {start.url}{root}, with the client key")
            for whose, root in start.clients.items()
        ),
        ("something wrong?", f"{start.command} doctor{start.options}"),
    ]


def _place(found: Found) -> str:
    return found.probe.url.partition("//")[2].partition("/")[0]


def _some(names: Sequence[str], what: str = "") -> str:
    shown = ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
    if not what:
        return shown
    return _count(len(names), what) + (f" ({shown})" if names else "")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def data_dir_option(data_dir: Path) -> str:
    return f" --data-dir {shlex.quote(str(data_dir))}"
