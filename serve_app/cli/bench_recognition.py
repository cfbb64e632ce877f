"""`dukat bench recognition`: how well the recogniser and the agent behind it understand callers they were not tuned on.

Texts (`configs/bench/demo-speech.yaml`) are spoken by espeak-ng voices, go through the recogniser, the retrieval and
the dialogue of the profile, in this process, and are judged by what the agent does (`recognition_score.py`). Speed,
pitch, silence and noise of each utterance are drawn from the seed. The voices are accents with speakers that tuned
nothing; the recogniser's own docstring says which ones did. espeak's flutter makes two runs differ by a few utterances.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from configs.settings import load_profile
from configs.strict import BadSettingsFile, read_yaml
from deployments.contracts.audio import SAMPLE_RATE_HZ, samples_in
from deployments.contracts.errors import BadInput, DukatError
from serve_app.cli.one_agent import OneAgent, one_agent
from serve_app.cli.recognition_score import Expected, Kind, Outcome, judge, rate, summary, word_error_rate
from serve_app.cli.speech_audio import Room, Speaker, sound, speak, speaker
from serve_app.cli.speech_cases import DEMO_CASES, SpeechCases
from serve_app.tenants.store import YamlTenantStore

VOICES = (
    "en-gb-scotland+f4",
    "en-gb-scotland+m2",
    "en-gb-x-rp+f1",
    "en-gb-x-rp+m1",
    "en-us-nyc+f4",
    "en-us-nyc+m7",
    "en-029+f1",
    "en-029+m6",
)
ARABIC_VOICES = ("ar+f1", "ar+m1", "ar+m7")

console = Console(highlight=False, soft_wrap=True)


@dataclass(frozen=True, slots=True)
class _Utterance:
    kind: Kind
    voice: str
    said: str
    expected: Expected
    audio: Callable[[], bytes]


@dataclass(slots=True)
class Spent:
    """Audio heard and the time it took."""

    audio_s: float = 0.0
    recogniser_s: float = 0.0


def recognition(
    voices: Annotated[str, typer.Option(help="espeak-ng voices, comma-separated.")] = ",".join(VOICES),
    cases: Annotated[Path, typer.Option(help="What is said, and what it should lead to.")] = DEMO_CASES,
    tenant: Annotated[str, typer.Option(help="Whose documents and phrases.")] = "demo",
    profile: Annotated[str, typer.Option(help="Whose engines.")] = "embedded",
    opus: Annotated[bool, typer.Option("--opus", help="Through Opus at 24 kbit/s.")] = False,
    telephone: Annotated[bool, typer.Option("--telephone", help="Through G.711: 300 to 3,400 Hz.")] = False,
    noise_db: Annotated[float | None, typer.Option(help="Pink noise so far below the voice, in dB.")] = None,
    seed: Annotated[int, typer.Option(help="Of speed, pitch, silence and noise.")] = 1,
    keep_every: Annotated[int, typer.Option(min=1, help="Only every nth text: a quick look.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="One object as the last line.")] = False,
) -> None:
    """How many callers are understood, refused and answered wrongly, by voices that tuned nothing."""
    names = [name.strip() for name in voices.split(",") if name.strip()]
    try:
        if opus and telephone:
            raise BadInput("line_unclear", "--opus and --telephone are two lines; choose one", "bench")
        room = Room("opus" if opus else "telephone" if telephone else "clean", noise_db)
        texts = read_yaml(SpeechCases, cases).thinned(keep_every)
        outcomes, spent = asyncio.run(_measure(texts, names, room, seed, tenant, profile))
    except (DukatError, BadSettingsFile) as error:
        Console(stderr=True).print(f"not measured: {error}", style="red", highlight=False)
        raise typer.Exit(1) from None
    result = {
        "profile": profile,
        "line": room.line,
        "noise_db": noise_db,
        "seed": seed,
        "voice_names": names,
        **summary(outcomes),
        "audio_s": round(spent.audio_s, 1),
        "recogniser_s": round(spent.recogniser_s, 1),
    }
    print(json.dumps(result, ensure_ascii=False)) if as_json else _show(outcomes, result)
    raise typer.Exit(1 if result["missed"] else 0)


async def _measure(
    texts: SpeechCases, voices: Sequence[str], room: Room, seed: int, tenant: str, profile: str
) -> tuple[list[Outcome], Spent]:
    with tempfile.TemporaryDirectory(prefix="dukat-bench-") as folder:
        agent = await one_agent(await YamlTenantStore().by_id(tenant), load_profile(profile), Path(folder))
        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("speaking and listening")
            return await listen(
                agent, texts, voices, room, seed, lambda done, all_: progress.update(task, completed=done, total=all_)
            )


async def listen(
    agent: OneAgent,
    texts: SpeechCases,
    voices: Sequence[str],
    room: Room,
    seed: int,
    on_progress: Callable[[int, int], None] = lambda done, all_: None,
) -> tuple[list[Outcome], Spent]:
    """Have every text spoken by every voice, and judge what the agent does."""
    utterances = _utterances(speaker(), texts, voices, room, seed)
    outcomes: list[Outcome] = []
    spent = Spent()
    for utterance in utterances:
        pcm = utterance.audio()
        began_s = time.perf_counter()
        heard = agent.hear(pcm)
        spent.recogniser_s += time.perf_counter() - began_s
        spent.audio_s += samples_in(pcm) / SAMPLE_RATE_HZ
        reply = await agent.answer(heard)
        outcomes.append(
            Outcome(
                utterance.kind,
                utterance.voice,
                utterance.said,
                heard.text,
                heard.confidence,
                reply,
                judge(utterance.expected, reply),
            )
        )
        on_progress(len(outcomes), len(utterances))
    return outcomes, spent


def _utterances(speech: Speaker, texts: SpeechCases, voices: Sequence[str], room: Room, seed: int) -> list[_Utterance]:
    """Each with a generator of its own, so that one text more changes no other."""
    wanted: list[tuple[Kind, Sequence[str], str, Expected]] = [
        *(("question", voices, case.said, Expected(heading=case.heading)) for case in texts.questions),
        *(("courtesy", voices, case.said, Expected(intent=case.meant)) for case in texts.courtesies),
        *(("other", voices, said, Expected()) for said in texts.others),
        *(("other", ARABIC_VOICES, said, Expected()) for said in texts.arabic),
    ]
    spoken = [
        _Utterance(kind, voice, said, expected, _speaking(speech, said, voice, room, seed))
        for kind, by, said, expected in wanted
        for voice in by
    ]
    sounds = [
        _Utterance("other", "sound", name, Expected(), _sounding(speech, name, room, seed)) for name in texts.sounds
    ]
    return spoken + sounds


def _chance(seed: int, *what: str) -> np.random.Generator:
    return np.random.default_rng([seed, *"|".join(what).encode()])


def _speaking(speech: Speaker, said: str, voice: str, room: Room, seed: int) -> Callable[[], bytes]:
    return lambda: speak(speech, said, voice, room, _chance(seed, said, voice))


def _sounding(speech: Speaker, name: str, room: Room, seed: int) -> Callable[[], bytes]:
    return lambda: sound(name, speech, room, _chance(seed, name))


def _show(outcomes: Sequence[Outcome], result: dict[str, Any]) -> None:
    table = Table(box=SIMPLE_HEAD)
    for column in ("voice", "WER", "right", "refused", "wrong", "courtesies right", "wrong", "others taken"):
        table.add_column(column, justify="left" if column == "voice" else "right")
    for voice in dict.fromkeys(outcome.voice for outcome in outcomes):
        own = [outcome for outcome in outcomes if outcome.voice == voice]
        asked = [outcome for outcome in own if outcome.kind == "question"]
        courtesies = [outcome for outcome in own if outcome.kind == "courtesy"]
        others = [outcome for outcome in own if outcome.kind == "other"]
        taken = f"{sum(other.verdict != 'refused' for other in others)} of {len(others)}"
        shares = (word_error_rate(asked), *(rate(asked, verdict) for verdict in ("right", "refused", "wrong")))
        polite = (rate(courtesies, "right"), rate(courtesies, "wrong"))
        table.add_row(voice, *(_percent(share) for share in (*shares, *polite)), taken)
    console.print(table)
    for failure in result["failures"]:
        console.print("  {kind:9}{verdict:8}{voice:18} {said!r} heard as {heard!r}".format(**failure), markup=False)
    figures = {key: value for key, value in result.items() if key not in ("failures", "voice_names")}
    console.print_json(data=figures)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"
