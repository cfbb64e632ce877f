"""`Knowledge` as a deployment: its embedder and reranker are deployments of the same application."""

from __future__ import annotations

from ray.serve.handle import DeploymentHandle

from configs.settings import Profile
from deployments.clients import EmbedderClient, RerankerClient
from deployments.knowledge import Knowledge


class KnowledgeServer(Knowledge):
    """`Knowledge` over Serve handles."""

    def __init__(self, profile: Profile, folder: str, embedder: DeploymentHandle, reranker: DeploymentHandle) -> None:
        super().__init__(
            profile.engines.index,
            folder,
            EmbedderClient(embedder),
            RerankerClient(reranker),
            profile.dialogue.candidates,
        )
