"""One settings class an engine. `engine` names its import path: a new engine is one class here and one file there.

`embedded` engines run on a laptop CPU without downloads; `emulated` ones are no models at all but delays of known
length, for measuring the platform. `/healthz` and every call record name them as such.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from configs.strict import Strict


class EngineSettings(Strict):
    """What every engine's settings have."""

    engine: ClassVar[str]
    """"module:Class", built as `Class(settings)`."""
    nature: ClassVar[Literal["embedded", "emulated", "model"]]


# ---------------------------------------------------------------- voice activity


class SileroVad(EngineSettings):
    """Silero VAD v6, its ONNX file run by onnxruntime (MIT)."""

    engine: ClassVar[str] = "deployments.engines.silero:Silero"
    nature: ClassVar[Literal["embedded", "emulated", "model"]] = "model"
    kind: Literal["silero"] = "silero"
    threads: int = Field(default=1, ge=1, le=16)


# ---------------------------------------------------------------- recognition


class PocketSphinxAsr(EngineSettings):
    """PocketSphinx with a grammar of the tenant's phrases (BSD). English only."""

    engine: ClassVar[str] = "deployments.engines.pocketsphinx_phrases:PocketSphinx"
    nature: ClassVar[Literal["embedded", "emulated", "model"]] = "embedded"
    kind: Literal["pocketsphinx"] = "pocketsphinx"
    languages: ClassVar[tuple[str, ...]] = ("en",)
    """What it understands."""
    streams: int = Field(default=4, ge=1, le=64)
    """Utterances recognised at once; each holds a decoder of 28 MB."""


class EmulatedAsr(EngineSettings):
    """Hears words at a steady rate, and needs `final_ms` for the final transcript."""

    engine: ClassVar[str] = "deployments.engines.emulated_asr:EmulatedAsr"
    nature: ClassVar[Literal["embedded", "emulated", "model"]] = "emulated"
    kind: Literal["emulated"] = "emulated"
    languages: ClassVar[tuple[str, ...]] = ("en", "ar")
    final_ms: float = Field(default=80, ge=0)
    partial_ms: float = Field(default=5, ge=0)
    text: str = "what are your opening hours"


# ---------------------------------------------------------------- answers


class ResponderLlm(EngineSettings):
    """Answers with the sentences of the found passages that fit the question best: rules, no model."""

    engine: ClassVar[str] = "deployments.engines.responder:Responder"
    nature: ClassVar[Literal["embedded", "emulated", "model"]] = "embedded"
    kind: Literal["responder"] = "responder"
    max_sentences: int = Field(default=2, ge=1, le=10)


class EmulatedLlm(EngineSettings):
    """First token after `first_token_ms`, then `tokens_per_s`."""

    engine: ClassVar[str] = "deployments.engines.emulated_llm:EmulatedLlm"
    nature: ClassVar[Literal["embedded", "emulated", "model"]] = "emulated"
    kind: Literal["emulated"] = "emulated"
    first_token_ms: float = Field(default=100, ge=0)
    tokens_per_s: float = Field(default=50, gt=0)
    text: str = "We are open from eight to eight, from Monday to Friday. On Saturday we close at two in the afternoon."


# ---------------------------------------------------------------- voice


class EspeakTts(EngineSettings):
    """espeak-ng by its library (GPL-3; extra `embedded-voice`). First audio in under 1 ms."""

    engine: ClassVar[str] = "deployments.engines.espeak:Espeak"
    nature: ClassVar[Literal["embedded", "emulated", "model"]] = "embedded"
    kind: Literal["espeak"] = "espeak"
    words_per_minute: int = Field(default=165, ge=80, le=450)
    pitch: int = Field(default=50, ge=0, le=99)


class EmulatedTts(EngineSettings):
    """A tone after `first_audio_ms`, at `speed` times real time, `ms_per_word` long for each word."""

    engine: ClassVar[str] = "deployments.engines.emulated_tts:EmulatedTts"
    nature: ClassVar[Literal["embedded", "emulated", "model"]] = "emulated"
    kind: Literal["emulated"] = "emulated"
    first_audio_ms: float = Field(default=80, ge=0)
    speed: float = Field(default=5.0, gt=0)
    ms_per_word: float = Field(default=100, gt=0)


# ---------------------------------------------------------------- knowledge


class HashedEmbedder(EngineSettings):
    """Character n-grams hashed to a dense vector, stemmed words to a sparse one: lexical, no model."""

    engine: ClassVar[str] = "deployments.engines.hashed_embedder:HashedEmbedder"
    nature: ClassVar[Literal["embedded", "emulated", "model"]] = "embedded"
    kind: Literal["hashed"] = "hashed"
    dimensions: int = Field(default=512, ge=64, le=4096)


class LexicalReranker(EngineSettings):
    """Share of the question's informative words that the passage and its heading contain."""

    engine: ClassVar[str] = "deployments.engines.lexical_reranker:LexicalReranker"
    nature: ClassVar[Literal["embedded", "emulated", "model"]] = "embedded"
    kind: Literal["lexical"] = "lexical"


class LocalIndex(EngineSettings):
    """Vectors in the memory of the knowledge replica, documents as files in the state folder."""

    engine: ClassVar[str] = "deployments.engines.local_index:LocalIndex"
    nature: ClassVar[Literal["embedded", "emulated", "model"]] = "embedded"
    kind: Literal["local"] = "local"


AsrSettings = Annotated[PocketSphinxAsr | EmulatedAsr, Field(discriminator="kind")]
LlmSettings = Annotated[ResponderLlm | EmulatedLlm, Field(discriminator="kind")]
TtsSettings = Annotated[EspeakTts | EmulatedTts, Field(discriminator="kind")]


class Engines(Strict):
    """Which engine each stage runs."""

    vad: SileroVad = SileroVad()
    asr: AsrSettings
    llm: LlmSettings
    tts: TtsSettings
    embedder: HashedEmbedder = HashedEmbedder()
    reranker: LexicalReranker = LexicalReranker()
    index: LocalIndex = LocalIndex()

    def natures(self) -> dict[str, dict[str, str]]:
        """Stage → which engine it runs and of what nature, for health pages and call records."""
        stages = {stage: getattr(self, stage) for stage in type(self).model_fields}
        return {stage: {"engine": settings.kind, "nature": settings.nature} for stage, settings in stages.items()}
