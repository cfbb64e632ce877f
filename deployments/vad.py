"""Voice activity (M1). In: the shares of several calls, each its next windows and its state. Out: a verdict each.

Stateless: calls hold the state. Window i of every share is judged in one batch.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from configs.engines import SileroVad
from deployments.contracts.errors import BadInput, StageFailed
from deployments.contracts.ports import VadEngine
from deployments.contracts.speech import VAD_WINDOW_SAMPLES, VadVerdict, VadWindows
from deployments.loading import load

MOST_BATCH = 64
MOST_WINDOWS = 256
"""Of one share: eight seconds; more is a mistake of the sender's."""


class Vad:
    """Server of a `VadEngine`."""

    def __init__(self, settings: SileroVad) -> None:
        self._settings = settings
        self._engine: VadEngine = load(settings)
        self._thread = ThreadPoolExecutor(1, "vad")

    async def judge(self, batch: list[VadWindows]) -> list[VadVerdict]:
        """One tick. Raises `BadInput` when a share is not whole windows or a state not ours."""
        shares = [self._unpack(share) for share in batch]
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._judge, shares)

    def _unpack(self, share: VadWindows) -> tuple[np.ndarray, np.ndarray]:
        samples = len(share.pcm) // 2
        if len(share.pcm) % 2 or samples % VAD_WINDOW_SAMPLES or not 0 < samples <= MOST_WINDOWS * VAD_WINDOW_SAMPLES:
            raise BadInput("vad_windows_wrong", f"{len(share.pcm)} bytes are not 1 to {MOST_WINDOWS} windows", "vad")
        if share.state is not None and len(share.state) != 4 * self._engine.state_size:
            raise BadInput("vad_state_wrong", f"a state has {4 * self._engine.state_size} bytes", "vad")
        windows = np.frombuffer(share.pcm, "<i2").astype(np.float32).reshape(-1, VAD_WINDOW_SAMPLES) / 32768
        fresh = np.zeros(self._engine.state_size, np.float32)
        return windows, fresh if share.state is None else np.frombuffer(share.state, np.float32)

    def _judge(self, shares: list[tuple[np.ndarray, np.ndarray]]) -> list[VadVerdict]:
        states = [state for _, state in shares]
        probabilities: list[list[float]] = [[] for _ in shares]
        for step in range(max((len(windows) for windows, _ in shares), default=0)):
            going = [place for place, (windows, _) in enumerate(shares) if len(windows) > step]
            for at in range(0, len(going), MOST_BATCH):
                places = going[at : at + MOST_BATCH]
                now = np.stack([shares[place][0][step] for place in places])
                judged, after = self._engine.judge(now, np.stack([states[place] for place in places]))
                for place, probability, state in zip(places, judged, after, strict=True):
                    probabilities[place].append(float(probability))
                    states[place] = state
        return [
            VadVerdict(tuple(chances), np.ascontiguousarray(state, np.float32).tobytes())
            for chances, state in zip(probabilities, states, strict=True)
        ]

    async def ready(self) -> dict[str, Any]:
        """Which engine runs."""
        return {"engine": self._settings.kind, "nature": self._settings.nature}

    async def check_health(self) -> None:
        """Judge silence; raises when the model does not."""
        (verdict,) = await self.judge([VadWindows(bytes(2 * VAD_WINDOW_SAMPLES), None)])
        if not 0 <= verdict.probabilities[0] <= 0.5:
            raise StageFailed("vad_wrong", f"silence is judged {verdict.probabilities[0]:.2f} speech", "vad")
