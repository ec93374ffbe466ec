"""The person's side of a sign-in, on a terminal: what to open, what to type, and the way to paste what came of it.

Works on a running gateway and without one alike. What is pasted is handed on and not shown or kept anywhere here.
"""

import os
import queue
import sys
import threading
import webbrowser

from omniroute.cli.managing import Manager
from omniroute.cli.output import Exit, Problem, note, printable
from omniroute.management.account_values import AccountView, BeginSignIn, Paste, SignInView
from omniroute.management.service import ProviderView

__all__ = ["may_serve_others", "say_if_withdrawn", "sign_in"]

WAIT_S = 1.0
PASTE = "Or paste the whole address the browser ends at, or the code it shows. Only paste what you produced yourself."


async def say_if_withdrawn(manager: Manager, provider: str) -> None:
    """Before anybody signs in to what is gone."""
    view = await _known(manager, provider)
    if view is not None and view.status == "withdrawn":
        note(f"{view.display_name or view.name}: {(await manager.provider(view.name)).note or 'withdrawn'}")


async def may_serve_others(manager: Manager, provider: str) -> bool:
    """Ask whether a subscription may serve other clients than the vendor's own; nothing to ask of other tiers."""
    view = await _known(manager, provider)
    if view is None or view.tier != "subscription":
        return False
    who = view.display_name or view.name
    own = ", ".join(name.rstrip("/") for name in view.own_clients) or "the vendor's own client"
    note(f"A subscription of {who} is meant for {own}. Its terms: {view.terms_url or 'see the vendor'}")
    if not sys.stdin.isatty():
        note("It will serve nothing else; --allow-other-clients changes that.")
        return False
    import click

    return click.confirm("Let other clients use it too?", default=False, err=True)


async def _known(manager: Manager, provider: str) -> ProviderView | None:
    return next((view for view in await manager.providers() if provider in {view.name, *view.aliases}), None)


async def sign_in(manager: Manager, wanted: BeginSignIn) -> AccountView:
    """Lead the person through. Raises `Problem` when it comes to nothing."""
    view = await manager.begin_sign_in(wanted)
    keyboard: queue.SimpleQueue[str] | None = None
    told = None
    try:
        while view.state in {"working", "waiting"}:
            if view.url is not None and (view.url, view.code) != told:
                told = (view.url, view.code)
                _show(view, paste=wanted.paste)
            if view.redirect_uri is not None and keyboard is None and _can_paste(wanted, view):
                note(PASTE)
                keyboard = _keyboard()
            if keyboard is not None and not keyboard.empty():
                view = await _hand_in(manager, view, keyboard.get())
            else:
                view = await manager.sign_in(view.id, after=view.changed, wait_s=WAIT_S)
    except BaseException:
        await manager.stop_sign_in(view.id)
        raise
    if view.account is None:
        error = view.error or {}
        raise Problem(
            code=error.get("code") or "sign-in",
            message=error.get("message") or "the sign-in failed",
            why=error.get("why"),
            fix=error.get("fix"),
        )
    return view.account


def _show(view: SignInView, *, paste: bool) -> None:
    note(printable(view.message or ""))
    note(f"  {printable(view.url or '')}")
    if view.code is not None:
        note(f"  code: {printable(view.code)}" + (f" (for {view.expires_in_s:.0f} s)" if view.expires_in_s else ""))
    if view.note is not None:
        note(printable(view.note))
    here = sys.stdin.isatty() and not paste and not os.environ.get("SSH_CONNECTION")
    if here and view.url is not None and view.url.startswith(("https://", "http://127.0.0.1", "http://localhost")):
        webbrowser.open(view.url)


def _can_paste(wanted: BeginSignIn, view: SignInView) -> bool:
    return view.url is not None and (wanted.paste or sys.stdin.isatty())


def _keyboard() -> "queue.SimpleQueue[str]":
    """The lines of standard input as they come; the thread ends with the program."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            if line.strip():
                lines.put(line.strip())

    threading.Thread(target=read, name="keyboard", daemon=True).start()
    return lines


async def _hand_in(manager: Manager, view: SignInView, text: str) -> SignInView:
    """Not what was asked for is no reason to give up: the person may try again, as long as there is a person."""
    from omniroute.errors import GatewayError

    try:
        return await manager.paste_redirect(view.id, Paste(text=text))
    except (Problem, GatewayError) as error:
        if not sys.stdin.isatty():
            raise
        if isinstance(error, Problem) and error.leave is Exit.NOT_RUNNING:
            raise
        note(f"{error.message}: {error.why or ''}")
        return view
