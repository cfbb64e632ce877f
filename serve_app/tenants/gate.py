"""Who may use a tenant: the bearer token of this installation, or nobody's when the demo runs on loopback only.

The keys are made on first use, in the state folder, readable by the owner alone. (Users, roles and tokens that expire
come with identity proper; this is the lock on the door until then.)
"""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path

from deployments.contracts.errors import BadSettings, NotAllowed
from serve_app.tenants.models import Tenant

LEAST_SECRET_CHARS = 32
"""HS256 wants 256 bits; ours have 43 characters of base64."""


def secret(folder: Path, name: str) -> str:
    """The secret of that name, made when there is none; safe when several processes start at once.

    Raises `BadSettings` for a file that holds none: an empty key would open every door.
    """
    path = folder / name
    if not path.exists():
        _make(path)
    text = path.read_text(encoding="utf-8").strip()
    if len(text) < LEAST_SECRET_CHARS:
        raise BadSettings("key_unusable", f"{path} holds fewer than {LEAST_SECRET_CHARS} characters; delete it", "gate")
    return text


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.parent / f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(32))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)  # whole or not at all, and only the first wins
    except FileExistsError:
        pass
    finally:
        draft.unlink()


class Gate:
    """Checks requests."""

    def __init__(self, token: str, *, open_on_loopback: bool) -> None:
        self._token = token
        self._open = open_on_loopback

    def check(self, authorization: str | None, tenant: Tenant) -> None:
        """Raises `NotAllowed` (401) unless the request may use this tenant."""
        if authorization is None:
            if self._open and tenant.open_on_loopback:
                return
            raise NotAllowed("token_missing", "this needs Authorization: Bearer <token>", "gate")
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self._token.encode()):
            raise NotAllowed("token_invalid", "the token is not one of this installation", "gate")
