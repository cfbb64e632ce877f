"""Where a caller's plain RTP comes from, and so where ours goes (symmetric RTP, "comedia"). Pure.

Behind NAT the address in the SDP is not the one packets come from. So the first source of valid packets is believed,
and ours are sent there. That invites a stranger who guesses the port; against him, for plain RTP proves nothing:

- the exact address of the SDP is believed at once, and takes over from any other;
- another source must send two packets in a row of one stream (random bytes hardly do), and
- where the SDP's address is a public one, hosts other than that have to wait until it was silent;
- once somebody is believed, others are believed only after he was silent for `silent_s`.

Who is on the path, or can forge the SDP's address, is not kept out: that takes SRTP.
"""

from __future__ import annotations

import ipaddress

from serve_app.media.jitter import distance

Address = tuple[str, int]
"""Numeric host, port."""

_IN_A_ROW = 5
"""Two packets of a stream are no further apart; one between them may be lost or late."""


class Latch:
    """One agreement's."""

    def __init__(self, signalled: Address | None, now_s: float, silent_s: float) -> None:
        """`signalled`: of the SDP; None when it says nowhere."""
        self.signalled = signalled
        self.to = signalled
        """Where ours goes; None = nowhere yet."""
        self.source: Address | None = None
        """Who is believed."""
        self._silent_s = silent_s
        self._heard_s = now_s
        self._candidate: tuple[Address, int, int] | None = None
        """Source, SSRC and number of a packet that awaits its second."""
        self._public = signalled is not None and ipaddress.ip_address(signalled[0]).is_global

    def refuses(self, source: Address, now_s: float) -> bool:
        """Whether it cannot be believed now, whatever it sends: asked before anything is read of a packet."""
        if source in (self.source, self.signalled) or now_s - self._heard_s >= self._silent_s:
            return False
        if self.source is not None:
            return True
        return self._public and self.signalled is not None and source[0] != self.signalled[0]

    def believes(self, source: Address, ssrc: int, sequence: int, now_s: float) -> bool:
        """A valid packet has come from there: whether it is the caller's."""
        if self.refuses(source, now_s):
            return False
        if source not in (self.source, self.signalled) and not self._second(source, ssrc, sequence):
            return False
        self.source = self.to = source
        self._heard_s = now_s
        self._candidate = None
        return True

    def _second(self, source: Address, ssrc: int, sequence: int) -> bool:
        first, self._candidate = self._candidate, (source, ssrc, sequence)
        return first is not None and first[:2] == (source, ssrc) and 0 < distance(sequence, first[2]) <= _IN_A_ROW
