"""Each path is walked once before the first caller comes.

The first request over a Serve handle finds its replicas and opens a connection: 20 to 60 ms that no caller should wait
(measured 2026-11-21: first retrieval of a fresh host 66 ms over its engines, later ones 5 to 15).
"""

from __future__ import annotations

import asyncio
import logging

from deployments.contracts.dialogue import GenerationRequest, Message
from deployments.contracts.errors import DukatError
from deployments.contracts.knowledge import KnowledgeQuery
from deployments.contracts.ports import AsrPort, KnowledgePort, LlmPort, VadPort
from deployments.contracts.speech import VAD_WINDOW_SAMPLES, VadWindows
from serve_app.tenants.models import Tenant

log = logging.getLogger(__name__)

RETRY_S = 0.3
TIMES = 2


async def warm_up(tenant: Tenant, vad: VadPort, asr: AsrPort, knowledge: KnowledgePort, llm: LlmPort) -> None:
    """Ask every model something small, again and again until all of them are there."""
    language = tenant.languages[0]
    question = Message("caller", "hello")
    request = GenerationRequest("warm-up", tenant.id, tenant.instructions(), (question,), (), language, max_tokens=1)
    done = 0
    while done < TIMES:
        try:
            await vad.judge(VadWindows(bytes(2 * VAD_WINDOW_SAMPLES), None))
            await asr.forget("warm-up")
            await knowledge.find(KnowledgeQuery(tenant.id, question.text, 1, language))
            async with llm.answer(request) as groups:
                async for _ in groups:
                    pass
            done += 1
        except DukatError as error:
            log.info("warming_up", extra={"code": error.code})
            await asyncio.sleep(RETRY_S)
