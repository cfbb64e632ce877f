"""A profile: which engines, how they are deployed, and the figures a call is run by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, ValidationInfo, field_validator, model_validator

from configs.engines import Engines
from configs.strict import BadSettingsFile, Strict, read_yaml

PROFILES = Path(__file__).parent / "profiles"
TENANTS = Path(__file__).parent / "tenants"


class DeploymentOptions(Strict):
    """How Ray Serve runs one deployment."""

    num_replicas: int = Field(default=1, ge=1)
    num_cpus: float = Field(default=0.1, ge=0)
    num_gpus: float = Field(default=0, ge=0)
    max_ongoing_requests: int = Field(default=32, ge=1)
    max_queued_requests: int = Field(default=64, ge=-1)
    graceful_shutdown_timeout_s: float = Field(default=5, ge=0)
    health_check_period_s: float = Field(default=5, gt=0)

    def for_serve(self) -> dict[str, Any]:
        """Arguments of `Deployment.options`."""
        return {
            "num_replicas": self.num_replicas,
            "ray_actor_options": {"num_cpus": self.num_cpus, "num_gpus": self.num_gpus},
            "max_ongoing_requests": self.max_ongoing_requests,
            "max_queued_requests": self.max_queued_requests,
            "graceful_shutdown_timeout_s": self.graceful_shutdown_timeout_s,
            "health_check_period_s": self.health_check_period_s,
        }


class Deployments(Strict):
    """One entry a deployment; what is left out has the defaults of `DeploymentOptions`."""

    vad: DeploymentOptions = DeploymentOptions()
    asr: DeploymentOptions = DeploymentOptions()
    llm: DeploymentOptions = DeploymentOptions()
    tts: DeploymentOptions = DeploymentOptions()
    embedder: DeploymentOptions = DeploymentOptions()
    reranker: DeploymentOptions = DeploymentOptions()
    knowledge: DeploymentOptions = DeploymentOptions()
    call_host: DeploymentOptions = DeploymentOptions(graceful_shutdown_timeout_s=8)
    api: DeploymentOptions = DeploymentOptions()
    committer: DeploymentOptions = DeploymentOptions()


class TurnTaking(Strict):
    """Who may speak: thresholds in milliseconds of audio heard."""

    speech_threshold: float = Field(default=0.5, gt=0, lt=1)
    silence_threshold: float = Field(default=0.35, gt=0, lt=1)
    start_ms: float = Field(default=64, gt=0)
    """Speech this long starts an utterance (and ducks the agent)."""
    barge_in_ms: float = Field(default=192, gt=0)
    """Speech this long stops the agent."""
    preroll_ms: float = Field(default=300, ge=0)
    """Audio before the start that belongs to the utterance."""
    wait_complete_ms: float = Field(default=320, gt=0)
    """Silence that ends a turn when the recogniser believes the sentence is whole."""
    wait_unsure_ms: float = Field(default=640, gt=0)
    """Silence that ends a turn otherwise."""
    energy_gate_after_ms: float = Field(default=200, ge=0)
    """Without a verdict of the VAD for so long, loudness decides."""
    energy_gate_dbfs: float = Field(default=-40, lt=0)
    longest_utterance_s: float = Field(default=30, gt=0)


class Budgets(Strict):
    """What each stage may take before something else is done (T8), in milliseconds."""

    vad_ms: float = Field(default=40, gt=0)
    asr_final_ms: float = Field(default=1500, gt=0)
    retrieval_ms: float = Field(default=1000, gt=0)
    llm_first_token_ms: float = Field(default=2000, gt=0)
    tts_first_audio_ms: float = Field(default=1000, gt=0)
    filler_after_ms: float = Field(default=1500, gt=0)
    """No answer audio so long after the end of the turn: the agent says that it is looking."""


class VadTick(Strict):
    """When a host sends its calls' windows to the VAD deployment."""

    oldest_ms: float = Field(default=8, ge=0)
    most_windows: int = Field(default=32, ge=1)
    gather_from_calls: int = Field(default=4, ge=0)
    """With fewer live calls each share is sent at once: 8 ms sooner, and at most 4 requests a 32 ms."""


class Dialogue(Strict):
    """What counts as an answer."""

    candidates: int = Field(default=20, ge=1)
    passages: int = Field(default=3, ge=1)
    min_passage_score: float = Field(default=0.45, ge=0, le=1)
    history_messages: int = Field(default=20, ge=2)
    sure_goodbye: float = Field(default=0.6, ge=0, le=1)
    """A spoken goodbye recognised with less confidence is asked about instead of acted on."""


class Silence(Strict):
    """A caller who says nothing is asked, asked once more, and then told goodbye."""

    prompt_after_s: float = Field(default=10, gt=0)
    """Nobody has spoken for so long."""
    goodbye_after_s: float = Field(default=8, gt=0)
    """Nobody has spoken for so long after the second question."""


class Media(Strict):
    """The caller's line."""

    host_addresses: tuple[str, ...] = ()
    """Addresses offered as ICE host candidates; empty = those of the machine's interfaces."""
    loopback: bool = True
    """Offer 127.0.0.1 as well, so that a caller on the same machine needs no network."""
    announced_address: str | None = None
    """Address under which a router or cloud forwards to this machine, on the same ports."""
    ports: tuple[int, int] | None = None
    """First and last UDP port of calls; None = any free one. A call over plain RTP takes two, the first one even."""
    stun_urls: tuple[str, ...] = ()
    """`stun:host:port`. None by default: a call tells no stranger where it is."""
    turn_urls: tuple[str, ...] = ()
    """`turn:host:port`; used by the host, and given to browsers."""
    turn_secret: str = ""
    """Shared with the TURN server (coturn `static-auth-secret`), for credentials that are good for an hour."""
    connect_timeout_s: float = Field(default=15, gt=0)
    absent_after_s: float = Field(default=4, gt=0)
    """Nothing at all has come from the caller's side for so long: the line has broken."""
    wait_for_return_s: float = Field(default=30, ge=0)
    """A call whose line has broken is kept so long."""
    quality_every_s: float = Field(default=2, gt=0)
    rtp_first_packet_s: float = Field(default=0.5, ge=0)
    """Plain RTP: the agent begins to speak when the first packet has come, or after so long (SIP's early media may be
    ours to begin)."""
    rtp_silent_s: float = Field(default=1.5, ge=1)
    """Plain RTP: packets of another source are taken only when the one believed so far was silent for so long."""
    rtcp_every_s: float = Field(default=5, gt=0)
    """Plain RTP: between reports on average; each interval is half to one and a half of it (RFC 3550, section 6.2)."""

    @model_validator(mode="after")
    def _turn_is_whole(self) -> Media:
        if self.turn_urls and not self.turn_secret:
            raise ValueError("turn_urls need a turn_secret")
        if self.ports is not None and not 1024 <= self.ports[0] <= self.ports[1] <= 65535:
            raise ValueError("ports: first and last of 1024 to 65535")
        return self


class CallLimits(Strict):
    """Bounds of a call and of a host."""

    max_calls_per_host: int = Field(default=20, ge=1)
    most_lag_ms: float = Field(default=40, gt=0)
    """A host whose event loop is later than this (99 %) takes no further call: those it has would suffer."""
    longest_call_s: float = Field(default=1800, gt=0)
    """Then the agent takes its leave and hangs up."""
    warn_before_end_s: float = Field(default=60, ge=0)
    """So long before that the agent says that the time is running out."""
    asr_step_ms: float = Field(default=160, gt=0)
    """Audio sent to the recogniser at a time while the caller speaks."""


class Profile(Strict):
    """Everything that differs between a laptop and a cluster."""

    name: str
    engines: Engines
    deployments: Deployments = Deployments()
    turn_taking: TurnTaking = TurnTaking()
    budgets: Budgets = Budgets()
    vad_tick: VadTick = VadTick()
    dialogue: Dialogue = Dialogue()
    silence: Silence = Silence()
    media: Media = Media()
    limits: CallLimits = CallLimits()


def load_profile(name: str) -> Profile:
    """Read `configs/profiles/NAME.yaml`, or the file when `name` is a path. Raises `BadSettingsFile`."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else PROFILES / f"{name}.yaml"
    if not path.exists():
        known = ", ".join(sorted(file.stem for file in PROFILES.glob("*.yaml")))
        raise BadSettingsFile(f"profile {name!r}: no such profile; there are: {known}")
    return read_yaml(Profile, path)


class AppArgs(Strict):
    """`args` of every application in `serve_config.yaml`."""

    profile: str = "embedded"
    state_dir: str = "~/.dukat"
    """Folder of everything the product writes: spool, lakehouse, documents, keys. Absolute, or below ~."""
    tenants: str = ""
    """Folder of tenant files, written like `state_dir`; empty = those that ship with the product."""
    open_on_loopback: bool = True
    """Whether tenants marked so may be called without a token; the CLI sets it to False when it listens elsewhere."""
    listener_host: str = "127.0.0.1"
    """Address of each call host's own listener; on a cluster the pod's address."""

    @field_validator("state_dir", "tenants")
    @classmethod
    def _absolute(cls, folder: str, info: ValidationInfo) -> str:
        if not folder and info.field_name == "tenants":
            return folder
        try:
            path = Path(folder).expanduser()
        except RuntimeError as error:
            raise ValueError(f"must be absolute or begin with ~: {error} ({folder!r})") from error
        if not path.is_absolute():
            raise ValueError(f"must be absolute or begin with ~: replicas do not share a working folder ({folder!r})")
        return str(path)
