"""The token in `Location: /v1/calls/{token}`: which call, who owns it, since which change of owner. Signed (HS256).

Whoever holds it may see and end that one call. Any replica can read the owner's address from it and pass a request on.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import jwt

from deployments.contracts.errors import NotAllowed

AUDIENCE = "dukat-call"
LONGEST_TOKEN_CHARS = 1_024


@dataclass(frozen=True, slots=True)
class CallToken:
    """What a call token says."""

    call: str
    tenant: str
    owner: str
    """"host:port" of the owner's control listener."""
    epoch: int


class CallTokens:
    """Signs and reads tokens with one key."""

    def __init__(self, key: str, lifetime_s: float) -> None:
        self._key = key
        self._lifetime_s = lifetime_s

    def sign(self, token: CallToken) -> str:
        """The token as it stands in a URL."""
        claims = {
            "aud": AUDIENCE,
            "sub": token.call,
            "ten": token.tenant,
            "own": token.owner,
            "epo": token.epoch,
            "exp": int(time.time() + self._lifetime_s),
        }
        return jwt.encode(claims, self._key, algorithm="HS256")

    def read(self, text: str) -> CallToken:
        """Raises `NotAllowed` (403) for a token that is forged, foreign, expired or no token at all."""
        try:
            if len(text) > LONGEST_TOKEN_CHARS:
                raise jwt.InvalidTokenError("too long")
            claims = jwt.decode(
                text, self._key, algorithms=["HS256"], audience=AUDIENCE, options={"require": ["exp", "sub", "aud"]}
            )
            return CallToken(str(claims["sub"]), str(claims["ten"]), str(claims["own"]), int(claims["epo"]))
        except (jwt.InvalidTokenError, KeyError, TypeError, ValueError) as error:
            raise NotAllowed("call_token_invalid", "this is no call of this installation", "calls", 403) from error
