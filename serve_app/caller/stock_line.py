"""aiortc as it comes, behind the same few methods as `doors/webrtc.py`: what benches measure ours against.

As an application with plain aiortc is written: `track.recv()` for decoded frames, resampled to mono 16 kHz; an
`AudioStreamTrack` that gives frames of 20 ms, which aiortc's own encoder resamples and encodes (stereo, 96 kbit/s).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from fractions import Fraction

import av
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError, MediaStreamTrack

from deployments.contracts.audio import FRAME_SAMPLES, SAMPLE_RATE_HZ, SILENT_FRAME, HeardAudio

FRAME_S = FRAME_SAMPLES / SAMPLE_RATE_HZ


class _Voice(AudioStreamTrack):
    """Frames of the source, paced as aiortc's own tracks are."""

    def __init__(self) -> None:
        super().__init__()
        self.source: Callable[[], bytes] = lambda: SILENT_FRAME
        self._frames = 0
        self._began_s = 0.0

    async def recv(self) -> av.AudioFrame:
        if self.readyState != "live":
            raise MediaStreamError
        if self._frames == 0:
            self._began_s = time.time()
        else:
            await asyncio.sleep(self._began_s + self._frames * FRAME_S - time.time())
        frame = av.AudioFrame(format="s16", layout="mono", samples=FRAME_SAMPLES)
        frame.planes[0].update(self.source())
        frame.pts = self._frames * FRAME_SAMPLES
        frame.sample_rate = SAMPLE_RATE_HZ
        frame.time_base = Fraction(1, SAMPLE_RATE_HZ)
        self._frames += 1
        return frame


class StockLine:
    """One call."""

    def __init__(self) -> None:
        # No STUN: aiortc's default asks a public server.
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._voice = _Voice()
        self._track: asyncio.Future[MediaStreamTrack] = asyncio.get_running_loop().create_future()

        @self._peer.on("track")
        def arrived(track: MediaStreamTrack) -> None:
            if not self._track.done():
                self._track.set_result(track)

    async def answer(self, offer: str) -> str:
        """The SDP answer with all candidates."""
        await self._peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        self._peer.addTrack(self._voice)
        await self._peer.setLocalDescription(await self._peer.createAnswer())
        return str(self._peer.localDescription.sdp)

    async def frames(self) -> AsyncIterator[HeardAudio]:
        """What the caller says, until the line closes."""
        track = await self._track
        resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE_HZ)
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            assert isinstance(frame, av.AudioFrame)
            for piece in resampler.resample(frame):
                pcm = bytes(piece.planes[0])[: piece.samples * 2]
                yield HeardAudio(pcm, time.monotonic())

    def play_from(self, source: Callable[[], bytes]) -> None:
        """Ask `source` for each frame from now on."""
        self._voice.source = source

    async def packets_lost(self) -> int:
        """By aiortc's count."""
        lost = 0
        for receiver in self._peer.getReceivers():
            for stats in (await receiver.getStats()).values():
                if stats.type == "inbound-rtp":
                    lost += stats.packetsLost
        return lost

    async def close(self) -> None:
        """Hang up."""
        self._track.cancel()
        await self._peer.close()
