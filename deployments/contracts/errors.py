"""One tree of errors. Each has a stable `code`, the `stage` it happened in, and whether trying again can help.

DukatError
├── BadInput            the caller of an interface sent something unusable           (HTTP 400 unless said)
│   ├── BadAudio        a WAV or a packet that cannot be read                        (400)
│   ├── BadOffer        an SDP offer nothing can be answered to                      (400)
│   ├── NotAllowed      missing, forged or foreign credentials                       (401 / 403)
│   └── NotFound        no such tenant, call, document                               (404)
├── BadSettings         a configuration file or argument that is wrong
├── StageFailed         a model or a service failed
│   ├── StageTimeout    it took longer than its budget
│   ├── StageBusy       its queue is full; a later try may succeed                   (503)
│   └── MissingPart     a package or weight file is not installed
└── CallOver            the call has ended; nothing more can be done with it         (410)
"""

from __future__ import annotations


class DukatError(Exception):
    """Base of all errors we raise on purpose. Survives pickling: every field is an argument of `Exception`."""

    http_status = 500
    retryable = False

    def __init__(self, code: str, detail: str, stage: str = "", status: int | None = None) -> None:
        super().__init__(code, detail, stage, status)
        self.code = code
        self.detail = detail
        self.stage = stage
        self.status = status or self.http_status

    def __str__(self) -> str:
        where = f" [{self.stage}]" if self.stage else ""
        return f"{self.code}{where}: {self.detail}"


class BadInput(DukatError):
    """What was sent cannot be used."""

    http_status = 400


class BadAudio(BadInput):
    """A WAV file or an audio packet that cannot be read."""


class BadOffer(BadInput):
    """An SDP offer that nothing can be answered to."""


class NotAllowed(BadInput):
    """Credentials missing (401), or not good for this (403)."""

    http_status = 401


class NotFound(BadInput):
    """No such tenant, call, document."""

    http_status = 404


class BadSettings(DukatError):
    """Configuration that is wrong; `detail` names the full path of the key."""


class StageFailed(DukatError):
    """A model or a service failed."""

    http_status = 502
    retryable = True


class StageTimeout(StageFailed):
    """A stage took longer than its budget."""

    http_status = 504


class StageBusy(StageFailed):
    """A stage's queue is full."""

    http_status = 503


class MissingPart(StageFailed):
    """A package or a weight file is not installed; `detail` says what to install."""

    http_status = 500
    retryable = False


class CallOver(DukatError):
    """The call has ended."""

    http_status = 410
