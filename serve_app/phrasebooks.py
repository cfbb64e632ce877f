"""What callers of each tenant may say: the phrases of its documents, those of every call, its own pronunciations.

Kept fresh while calls run, so that a new document can be asked about without ending any call.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging

from deployments.contracts.errors import DukatError
from deployments.contracts.ports import KnowledgePort
from deployments.contracts.speech import Phrasebook
from serve_app.dialogue.intents import SPOKEN_PHRASES
from serve_app.tenants.models import Tenant

log = logging.getLogger(__name__)

REFRESH_S = 3.0
"""A knowledge base that hangs must not keep the other tenants' phrases from being refreshed."""


class Phrasebooks:
    """The newest phrasebook of each tenant."""

    def __init__(self, knowledge: KnowledgePort) -> None:
        self._knowledge = knowledge
        self._newest: dict[str, Phrasebook] = {}

    def of(self, tenant: Tenant) -> Phrasebook:
        """Without waiting: before the first `refresh` only what is said in every call."""
        return self._newest.get(tenant.id) or _compose(tenant, ())

    async def refresh(self, tenant: Tenant) -> None:
        """Ask the knowledge base again; when it does not answer the last one stays."""
        try:
            async with asyncio.timeout(REFRESH_S):
                found = await self._knowledge.phrasebook(tenant.id)
        except (DukatError, TimeoutError) as error:
            log.warning("phrasebook_stale", extra={"tenant": tenant.id, "code": getattr(error, "code", "late")})
            return
        self._newest[tenant.id] = _compose(tenant, found.phrases)


def _compose(tenant: Tenant, phrases: tuple[str, ...]) -> Phrasebook:
    everything = tuple(dict.fromkeys((*SPOKEN_PHRASES, *phrases)))
    lexicon = tuple(sorted(tenant.lexicon.items()))
    digest = hashlib.sha256(repr((everything, lexicon)).encode()).hexdigest()[:12]
    return Phrasebook(f"{tenant.id}-{digest}", everything, lexicon)
