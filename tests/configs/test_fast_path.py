"""What is said when Ray Serve's two flags are not set."""

from __future__ import annotations

from configs.fast_path import FAST_PATH, missing


def test_flags_that_are_unset_or_off_are_named() -> None:
    assert missing({}) == list(FAST_PATH)
    assert missing(FAST_PATH | {"RAY_SERVE_ENABLE_HA_PROXY": "0"}) == ["RAY_SERVE_ENABLE_HA_PROXY"]
    assert missing(FAST_PATH) == []
