"""Time-limited TURN credentials, against a password computed by another program."""

from __future__ import annotations

import pytest

from deployments.contracts.errors import BadSettings
from serve_app.media.turn_credentials import TurnCredentials, turn_credentials


def test_the_password_is_what_openssl_computes() -> None:
    """printf '1700003600:call-7' | openssl dgst -sha1 -hmac north -binary | base64"""
    made = turn_credentials("north", "call-7", 3600, 1_700_000_000.9)

    assert made == TurnCredentials("1700003600:call-7", "5zGXmS6IgdIA6S5t18gV/JcwK6s=", 1_700_003_600)


def test_another_secret_name_or_time_is_another_password() -> None:
    made = [
        turn_credentials(secret, name, 60, now_s).password
        for secret, name, now_s in [("a", "n", 0.0), ("b", "n", 0.0), ("a", "m", 0.0), ("a", "n", 1.0)]
    ]

    assert len(set(made)) == 4


def test_an_empty_secret_is_refused() -> None:
    with pytest.raises(BadSettings) as refused:
        turn_credentials("", "n", 60, 0.0)
    assert refused.value.code == "turn_secret_missing"
