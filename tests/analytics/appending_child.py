"""A process that appends events to a spool until it is killed; prints `seq monotonic_s` after each (test_one_spool)."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from analytics.spool import Spool
from deployments.contracts.call_events import CallEvent

spool = Spool(Path(sys.argv[1]), rotate_after_s=0.15)
seq = 0
while True:
    seq += 1
    event_type = "call.started" if seq == 1 else "quality"
    spool.append(CallEvent(type=event_type, call="c1", tenant="demo", seq=seq, data={"text": "x" * 100}))
    print(seq, time.monotonic(), flush=True)
    time.sleep(0.001)
