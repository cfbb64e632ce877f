"""The roof: what is connected to what. One builder per application of `serve_config.yaml`.

    speech     vad, asr, tts                    each model a deployment of its own
    llm        llm
    knowledge  knowledge ─▶ embedder, reranker
    voice      call_host                        /v1/calls: hosts the call sessions
    api        api                              /: pages, health, documents
    lake       committer                        spool → Delta tables

Applications find each other by name (`deployments.clients`), so that a new voice does not end calls and a new prompt
does not reload weights. What differs between a laptop and a cluster is the profile, never this file. No
deployment's class is defined here: a replica imports the module of its class, and should not have to import everything.
"""

# No `from __future__ import annotations`: Serve reads the builders' annotations to turn `args` into `AppArgs`.
from pathlib import Path
from typing import Any

from ray import serve
from ray.serve import Application
from ray.serve.config import RequestRouterConfig

from analytics.committer_server import CommitterServer
from analytics.spool import Spool
from configs.settings import AppArgs, DeploymentOptions, load_profile
from deployments.asr import Asr
from deployments.embedder import Embedder
from deployments.host_board import RayHostBoard
from deployments.knowledge_server import KnowledgeServer
from deployments.llm import Llm
from deployments.reranker import Reranker
from deployments.tts import Tts
from deployments.vad import Vad
from kb_pipeline.ingest import ingest_document, ingest_folder
from serve_app.api_host import ApiHost
from serve_app.calls import CallHost

KEEP_UTTERANCE_WITH_REPLICA = RequestRouterConfig(
    request_router_class="ray.serve.experimental.consistent_hash_router:ConsistentHashRouter"  # type: ignore[arg-type]
)
"""By `session_id`, the utterance: its state is in one replica of the recogniser."""


def _deployment(name: str, of: type, options: DeploymentOptions, **more: Any) -> serve.Deployment:
    made: serve.Deployment = serve.deployment(of, name=name)  # type: ignore[assignment]  # its overloads miss this form
    return made.options(**options.for_serve(), **more)


def build_speech(args: AppArgs) -> Application:
    """Ears and voice."""
    profile = load_profile(args.profile)
    engines, options = profile.engines, profile.deployments
    vad = _deployment("vad", Vad, options.vad).bind(engines.vad)
    asr = _deployment("asr", Asr, options.asr, request_router_config=KEEP_UTTERANCE_WITH_REPLICA).bind(engines.asr)
    # Serve deploys what an ingress is bound to; so one model of the application is given the others' handles.
    return _deployment("tts", Tts, options.tts).bind(engines.tts, vad, asr)


def build_llm(args: AppArgs) -> Application:
    """The writer of answers."""
    profile = load_profile(args.profile)
    return _deployment("llm", Llm, profile.deployments.llm).bind(profile.engines.llm)


def build_knowledge(args: AppArgs) -> Application:
    """What is known."""
    profile = load_profile(args.profile)
    engines, options = profile.engines, profile.deployments
    embedder = _deployment("embedder", Embedder, options.embedder).bind(engines.embedder)
    reranker = _deployment("reranker", Reranker, options.reranker).bind(engines.reranker)
    folder = str(Path(args.state_dir) / "knowledge")
    return _deployment("knowledge", KnowledgeServer, options.knowledge).bind(profile, folder, embedder, reranker)


def build_voice(args: AppArgs) -> Application:
    """The media plane."""
    options = load_profile(args.profile).deployments.call_host
    return _deployment("call_host", serve.ingress()(CallHost), options).bind(args, Spool, RayHostBoard())


def build_api(args: AppArgs) -> Application:
    """The control plane."""
    options = load_profile(args.profile).deployments.api
    return _deployment("api", serve.ingress()(ApiHost), options).bind(args, ingest_document, ingest_folder)


def build_lake(args: AppArgs) -> Application:
    """Events into the lakehouse; exactly one replica."""
    state = Path(args.state_dir)
    options = load_profile(args.profile).deployments.committer
    return _deployment("committer", CommitterServer, options).bind(state / "spool", state / "lake")
