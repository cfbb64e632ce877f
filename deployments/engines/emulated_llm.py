"""No model: a fixed text whose first token comes after `first_token_ms` and the rest at `tokens_per_s`.

For measuring the platform with an engine of known delay. A token is a word with its space. The schedule is absolute, as
a real engine's is: what falls due while the consumer is busy is there at once when it comes back.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

from configs.engines import EmulatedLlm as EmulatedLlmSettings
from deployments.contracts.dialogue import GenerationRequest, TokenGroup

_GROUP_S = 0.020
"""Tokens of at least this long together go out as one group (`contracts.dialogue.TokenGroup`)."""


class EmulatedLlm:
    """An `LlmEngine` that ignores what it is asked; each `generate` sleeps in its own thread."""

    def __init__(self, settings: EmulatedLlmSettings) -> None:
        self._first_token_s = settings.first_token_ms / 1000
        self._token_s = 1 / settings.tokens_per_s
        self._group = max(1, math.ceil(_GROUP_S * settings.tokens_per_s))
        self._tokens = settings.text.split()

    def generate(self, request: GenerationRequest) -> Iterator[TokenGroup]:
        """The first token alone, then groups of ≥ 20 ms, on a schedule that does not wait for who reads them.

        `engine_ms` is the time since the group before was there: a model goes on writing while its words are fetched.
        """
        tokens = self._tokens[: max(1, request.max_tokens)]
        began_s = time.perf_counter()
        counted_ms = 0.0
        sent = 0
        while sent < len(tokens):
            upto = min(len(tokens), sent + self._group) if sent else 1
            so_far_s = self._first_token_s + (upto - 1) * self._token_s
            time.sleep(max(0.0, began_s + so_far_s - time.perf_counter()))
            last = upto == len(tokens)
            text = " ".join(tokens[sent:upto]) + ("" if last else " ")
            yield TokenGroup(text, upto - sent, last, so_far_s * 1000 - counted_ms)
            counted_ms = so_far_s * 1000
            sent = upto
