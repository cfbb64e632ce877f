"""Credentials for a TURN server that stop working by themselves; nothing is stored on either side.

The scheme coturn calls `use-auth-secret` (draft-uberti-behave-turn-rest-00): the user name is "<expiry>:<name>", expiry
in seconds since 1970; the password is base64(HMAC-SHA1(secret, user name)). The secret never leaves the two servers.
Pure: the time is handed in.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass

from deployments.contracts.errors import BadSettings


@dataclass(frozen=True, slots=True)
class TurnCredentials:
    """What a browser is given for `RTCIceServer`."""

    username: str
    password: str
    expires_s: int
    """Seconds since 1970, UTC. Relays that are open then live on; only new ones are refused."""


def turn_credentials(secret: str, name: str, lifetime_s: float, now_s: float) -> TurnCredentials:
    """Credentials that are good for `lifetime_s` from `now_s` (seconds since 1970). `name` is for the server's log.

    Raises `BadSettings`: with an empty secret anybody could write credentials.
    """
    if not secret:
        raise BadSettings("turn_secret_missing", "a TURN server needs a shared secret", "media")
    expires_s = int(now_s + lifetime_s)
    username = f"{expires_s}:{name}"
    digest = hmac.new(secret.encode(), username.encode(), hashlib.sha1).digest()
    return TurnCredentials(username, base64.b64encode(digest).decode(), expires_s)
