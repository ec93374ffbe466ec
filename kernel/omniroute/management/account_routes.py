"""The handlers of `/api/accounts`, `/api/sign-ins` and `/api/vault`."""

from typing import TypeAlias

from litestar import delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from omniroute.management.access import declare
from omniroute.management.account_values import (
    AccountView,
    AddAccount,
    BeginSignIn,
    EditAccount,
    Paste,
    RenameAccount,
    Reset,
    SignInView,
    VaultView,
)
from omniroute.management.service import Management
from omniroute.management.trial import AccountTrial

__all__ = ["ACCOUNT_HANDLERS"]

MANAGEMENT = declare("management")
Service: TypeAlias = NamedDependency[Management]
ACCOUNT = "/accounts/{provider:str}/{name:str}"
SIGN_IN = "/sign-ins/{sign_in_id:str}"


@get("/accounts", opt=MANAGEMENT)
async def list_accounts(service: Service) -> list[AccountView]:
    """Accounts of all providers; never their credentials."""
    return await service.accounts()


@post("/accounts", opt=MANAGEMENT)
async def add_account(service: Service, data: JSONBody[AddAccount]) -> AccountView:
    """Add an account by a key or token; its credential is stored encrypted."""
    return await service.add_account(data)


@get(ACCOUNT, opt=MANAGEMENT)
async def read_account(service: Service, provider: FromPath[str], name: FromPath[str]) -> AccountView:
    """One account."""
    return await service.account(provider, name)


@patch(ACCOUNT, opt=MANAGEMENT)
async def edit_account(
    service: Service, provider: FromPath[str], name: FromPath[str], data: JSONBody[EditAccount]
) -> AccountView:
    """Pause or resume it, change its priority, its proxy, or which clients it serves."""
    return await service.edit_account(provider, name, data)


@delete(ACCOUNT, opt=MANAGEMENT)
async def remove_account(service: Service, provider: FromPath[str], name: FromPath[str]) -> None:
    """Remove an account and its credential."""
    await service.remove_account(provider, name)


@post(f"{ACCOUNT}/name", opt=MANAGEMENT, status_code=200)
async def rename_account(
    service: Service, provider: FromPath[str], name: FromPath[str], data: JSONBody[RenameAccount]
) -> AccountView:
    """Give it another name."""
    return await service.rename_account(provider, name, data)


@post(f"{ACCOUNT}/test", opt=MANAGEMENT, status_code=200)
async def test_account(service: Service, provider: FromPath[str], name: FromPath[str]) -> AccountTrial:
    """Ask its upstream whether it takes the credential."""
    return await service.test_account(provider, name)


@post(f"{ACCOUNT}/refresh", opt=MANAGEMENT, status_code=200)
async def refresh_account(service: Service, provider: FromPath[str], name: FromPath[str]) -> AccountView:
    """Renew its tokens now."""
    return await service.refresh_account(provider, name)


@post(f"{ACCOUNT}/reset", opt=MANAGEMENT)
async def reset_account(service: Service, provider: FromPath[str], name: FromPath[str]) -> Reset:
    """Forget the account's cooldowns, and what keeps its provider's models out: the next request may ask it again."""
    return await service.reset_account(provider, name)


@post("/sign-ins", opt=MANAGEMENT)
async def begin_sign_in(service: Service, data: JSONBody[BeginSignIn]) -> SignInView:
    """Begin to sign in to a provider. The answer's id is for whoever began, and for nobody else."""
    return await service.begin_sign_in(data)


@get(SIGN_IN, opt=MANAGEMENT)
async def read_sign_in(
    service: Service, sign_in_id: FromPath[str], after: FromQuery[int] = 0, wait_s: FromQuery[float] = 0.0
) -> SignInView:
    """How it stands. With `after` it waits, `wait_s` at most, until there is something new."""
    return await service.sign_in(sign_in_id, after=after, wait_s=wait_s)


@post(f"{SIGN_IN}/redirect", opt=MANAGEMENT, status_code=200)
async def paste_redirect(service: Service, sign_in_id: FromPath[str], data: JSONBody[Paste]) -> SignInView:
    """Hand in the address that the browser ended at, or the code that it shows."""
    return await service.paste_redirect(sign_in_id, data)


@delete(SIGN_IN, opt=MANAGEMENT)
async def stop_sign_in(service: Service, sign_in_id: FromPath[str]) -> None:
    """Call it off."""
    await service.stop_sign_in(sign_in_id)


@post("/vault/rotate", opt=MANAGEMENT, status_code=200)
async def rotate_vault(service: Service) -> VaultView:
    """Encrypt everything that is stored with a new key."""
    return await service.rotate_vault()


ACCOUNT_HANDLERS = (
    list_accounts,
    add_account,
    read_account,
    edit_account,
    remove_account,
    rename_account,
    test_account,
    refresh_account,
    reset_account,
    begin_sign_in,
    read_sign_in,
    paste_redirect,
    stop_sign_in,
    rotate_vault,
)
