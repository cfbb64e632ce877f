"""Who may use a tenant: the bearer token of this installation, or nobody's when the demo runs on loopback only.

What is open on loopback is open to programs of this machine and to our own page, not to whatever page a browser of this
machine has open: such a page says where it comes from (`Origin`, `Sec-Fetch-Site`: Fetch Metadata, W3C), and one that
had its own name lead to 127.0.0.1 (DNS rebinding) gives itself away by the `Host` it asks for.

The keys are made on first use, in the state folder, readable by the owner alone. (Users, roles and tokens that expire
come with identity proper; this is the lock on the door until then.)
"""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from deployments.contracts.errors import BadSettings, NotAllowed
from serve_app.tenants.models import Tenant

LEAST_SECRET_CHARS = 32
"""HS256 wants 256 bits; ours have 43 characters of base64."""
_OURS = frozenset({"localhost", "127.0.0.1", "::1"})


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

    def check(self, headers: Mapping[str, str], tenant: Tenant) -> None:
        """Raises `NotAllowed` (401, 403) unless the request with these headers (lower case) may use this tenant."""
        authorization = headers.get("authorization")
        if authorization is None:
            if self._open and tenant.open_on_loopback:
                _check_from_here(headers)
                return
            raise NotAllowed("token_missing", "this needs Authorization: Bearer <token>", "gate")
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self._token.encode()):
            raise NotAllowed("token_invalid", "the token is not one of this installation", "gate")


def _check_from_here(headers: Mapping[str, str]) -> None:
    """Raises `NotAllowed` (403) for what a foreign web page sent."""
    host = headers.get("host", "").lower()
    if _name(f"http://{host}") not in _OURS:
        detail = "without a token only 127.0.0.1 and localhost are answered; ask for one of them, or send the token"
        raise NotAllowed("host_foreign", detail, "gate", 403)
    origin = headers.get("origin")
    # Browsers send an Origin with every POST; "null" is that of a file or a sandbox, and nobody's.
    same = origin is not None and origin.lower().partition("://")[2] == host
    site = headers.get("sec-fetch-site", "").lower()
    if (origin is not None and not same) or (origin is None and site in ("cross-site", "same-site")):
        raise NotAllowed("origin_foreign", "another web page may not do this without the token", "gate", 403)


def _name(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
