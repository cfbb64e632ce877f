"""Call tokens: what is signed is read; anything else is refused in one way only."""

from __future__ import annotations

import base64
import time
from typing import Any

import jwt
import pytest

from deployments.contracts.errors import NotAllowed
from serve_app.call_tokens import AUDIENCE, LONGEST_TOKEN_CHARS, CallToken, CallTokens

KEY = "k" * 43
TOKEN = CallToken("c1", "demo", "127.0.0.1:4242", epoch=3)


def signed(**changes: Any) -> str:
    """A token of our key whose claims were changed; a claim given as None is left out."""
    claims = {"aud": AUDIENCE, "sub": "c1", "ten": "demo", "own": "h:1", "epo": 1, "exp": int(time.time()) + 60}
    return jwt.encode({name: value for name, value in (claims | changes).items() if value is not None}, KEY, "HS256")


def test_what_was_signed_is_read() -> None:
    tokens = CallTokens(KEY, lifetime_s=60)

    assert tokens.read(tokens.sign(TOKEN)) == TOKEN


def test_two_hosts_with_one_key_read_each_other_s_tokens() -> None:
    assert CallTokens(KEY, 60).read(CallTokens(KEY, 60).sign(TOKEN)) == TOKEN


def test_a_token_fits_into_a_path() -> None:
    token = CallTokens(KEY, 60).sign(CallToken("f" * 32, "a" * 63, "[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:65535", 9))

    assert len(token) < LONGEST_TOKEN_CHARS
    assert set(token) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


NESTED = base64.urlsafe_b64encode(b"[" * 760).decode().rstrip("=")
HEADER = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').decode().rstrip("=")


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "a.b.c",
        "\ud800",
        "é.è.ê",
        "\x00",
        f"{HEADER}..",
        f"{NESTED}.e30.AA",
        "x" * (LONGEST_TOKEN_CHARS + 1),
        jwt.encode({"aud": AUDIENCE, "sub": "c1", "exp": 2**40}, "", algorithm="none"),
        jwt.encode({"aud": AUDIENCE, "sub": "c1", "exp": 2**40}, "o" * 43, algorithm="HS256"),
        jwt.encode({"aud": AUDIENCE, "sub": "c1", "exp": 2**40}, "k" * 64, algorithm="HS512"),
        signed(exp=1),
        signed(exp=None),
        signed(exp="never"),
        signed(aud="dukat-user"),
        signed(aud=None),
        signed(sub=None),
        signed(ten=None),
        signed(own=None),
        signed(epo=None),
        signed(epo="many"),
        signed(epo=[]),
        signed()[:-1],
        signed() + "x" * 1000,
    ],
)
def test_anything_else_is_refused_with_403(text: str) -> None:
    with pytest.raises(NotAllowed, match="call_token_invalid") as error:
        CallTokens(KEY, 60).read(text)

    assert error.value.status == 403


def test_no_cut_and_no_changed_letter_is_read() -> None:
    tokens = CallTokens(KEY, 60)
    token = tokens.sign(TOKEN)
    others = [token[:end] for end in range(len(token))]
    # The last letter of a base64 text has bits that mean nothing; all others count.
    others += [
        token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        for at in range(len(token) - 1)
        if token[at] != "."
    ]

    for other in others:
        with pytest.raises(NotAllowed):
            tokens.read(other)


def test_deeply_nested_json_is_refused_however_deep_the_stack_is() -> None:
    """The header is parsed before the signature is checked, in a server's already deep stack."""

    def deep(levels: int) -> None:
        if levels:
            deep(levels - 1)
        else:
            CallTokens(KEY, 60).read(f"{NESTED}.e30.AA")

    for levels in range(0, 800, 50):
        with pytest.raises(NotAllowed):
            deep(levels)
