"""From a tenant, what was said so far and what was found to the language model's `GenerationRequest`."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from deployments.contracts.dialogue import GenerationRequest, Message
from deployments.contracts.knowledge import KnowledgeQuery, Passage
from serve_app.tenants.models import Tenant

MOST_QUESTION_CHARS = 2_000
"""Two minutes of fast speech. A text message may be longer; what comes after is not read."""


def knowledge_query(tenant: Tenant, question: str, language: str, passages: int) -> KnowledgeQuery:
    """What the tenant's documents are asked."""
    return KnowledgeQuery(tenant.id, question[:MOST_QUESTION_CHARS], passages, language)


def generation_request(
    tenant: Tenant,
    question: str,
    language: str,
    history: Sequence[Message],
    passages: Sequence[Passage],
    most_messages: int,
) -> GenerationRequest:
    """What the model is asked; `most_messages` counts the question, and the oldest are left out."""
    asked = Message("caller", question[:MOST_QUESTION_CHARS])
    return GenerationRequest(
        request=uuid.uuid4().hex,
        tenant=tenant.id,
        system=tenant.instructions(),
        messages=(*history, asked)[-most_messages:],
        passages=tuple(passages),
        language=language,
    )
