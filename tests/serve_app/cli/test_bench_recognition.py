"""The recognition bench: its marks are right, its texts belong to the documents, and a part of it keeps its limits."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from configs.settings import TENANTS, load_profile
from configs.strict import BadSettingsFile, read_yaml
from deployments.contracts.speech import Transcript
from serve_app.cli import bench
from serve_app.cli.bench_recognition import VOICES, listen
from serve_app.cli.one_agent import one_agent
from serve_app.cli.recognition_score import (
    Expected,
    Outcome,
    Reply,
    Verdict,
    judge,
    missed,
    summary,
    word_error_rate,
    word_errors,
)
from serve_app.cli.speech_audio import Room
from serve_app.cli.speech_cases import DEMO_CASES, SpeechCases
from serve_app.dialogue.intents import Intent, classify
from serve_app.tenants.store import YamlTenantStore


def outcome(said: str, heard: str, verdict: Verdict = "right", kind: str = "question") -> Outcome:
    return Outcome(kind, "v", said, heard, 0.5, Reply(), verdict)  # type: ignore[arg-type]


# ---------------------------------------------------------------- marks


@pytest.mark.parametrize(
    ("said", "heard", "errors"),
    [
        ("", "", 0),
        ("a b c", "a b c", 0),
        ("a b c", "", 3),
        ("", "a b", 2),
        ("a b c", "a x c", 1),
        ("a b c", "b c", 1),
        ("a b c", "a b b c", 1),
        ("a b c d", "b c d e", 2),
    ],
)
def test_word_errors(said: str, heard: str, errors: int) -> None:
    assert word_errors(said.split(), heard.split()) == errors


def test_what_is_refused_has_all_its_words_deleted() -> None:
    """Four words right, and a sentence of two that was refused: two errors in six words."""
    heard = [outcome("Where is your office?", "where is your office"), outcome("good morning", "")]

    assert word_error_rate(heard) == pytest.approx(2 / 6)
    assert word_error_rate([]) is None


PAY, OPEN = "How can I pay?", "When are you open?"


@pytest.mark.parametrize(
    ("expected", "reply", "verdict"),
    [
        (Expected(heading=PAY), Reply(heading=PAY), "right"),
        (Expected(heading=PAY), Reply(heading=OPEN), "wrong"),
        (Expected(heading=PAY), Reply(line="did_not_catch"), "refused"),
        (Expected(heading=PAY), Reply(line="no_answer"), "refused"),
        (Expected(heading=PAY), Reply(line="greeting"), "wrong"),
        (Expected(intent=Intent.GREETING), Reply(line="greeting"), "right"),
        (Expected(intent=Intent.GREETING), Reply(line="anything_else"), "wrong"),
        (Expected(intent=Intent.GREETING), Reply(heading=PAY), "wrong"),
        (Expected(intent=Intent.GOODBYE), Reply(line="goodbye"), "right"),
        (Expected(intent=Intent.GOODBYE), Reply(line="anything_else"), "refused"),
        (Expected(intent=Intent.THANKS), Reply(line="goodbye"), "wrong"),
        (Expected(intent=Intent.HUMAN), Reply(line="person"), "right"),
        (Expected(intent=Intent.REPEAT), Reply(repeated=True), "right"),
        (Expected(intent=Intent.REPEAT), Reply(line="greeting"), "wrong"),
        (Expected(), Reply(line="did_not_catch"), "refused"),
        (Expected(), Reply(line="english_only"), "refused"),
        (Expected(), Reply(line="greeting"), "wrong"),
        (Expected(), Reply(heading=PAY), "wrong"),
        (Expected(), Reply(repeated=True), "wrong"),
    ],
)
def test_what_the_agent_did_is_judged(expected: Expected, reply: Reply, verdict: Verdict) -> None:
    assert judge(expected, reply) == verdict


def test_the_summary_counts_and_lists_every_failure() -> None:
    result = summary(
        [
            outcome("one two", "one two"),
            outcome("one two", "", "refused"),
            outcome("three four", "five four", "wrong"),
            outcome("bye", "bye", "right", "courtesy"),
            outcome("rain", "", "refused", "other"),
            outcome("snow", "bye", "wrong", "other"),
        ]
    )

    assert (result["questions"], result["utterances"], result["voices"]) == (2, 3, 1)
    assert result["wer"] == 0.5
    assert [result[f"{name}_rate"] for name in ("right", "refused", "wrong_answer")] == [0.3333, 0.3333, 0.3333]
    assert (result["courtesy_right_rate"], result["courtesy_wrong_rate"]) == (1.0, 0.0)
    assert (result["ood_utterances"], result["ood_rejected_rate"]) == (2, 0.5)
    assert result["missed"] == ["wer", "wrong_answer_rate", "ood_rejected_rate"]
    assert [(failure["said"], failure["verdict"]) for failure in result["failures"]] == [
        ("one two", "refused"),
        ("three four", "wrong"),
        ("snow", "wrong"),
    ]


@pytest.mark.parametrize(
    ("name", "still_good", "too_bad"),
    [
        ("wer", 0.15, 0.151),
        ("wrong_answer_rate", 0.02, 0.021),
        ("courtesy_wrong_rate", 0.02, 0.021),
        ("ood_rejected_rate", 0.95, 0.949),
    ],
)
def test_each_limit(name: str, still_good: float, too_bad: float) -> None:
    unknown = dict.fromkeys(("wer", "wrong_answer_rate", "courtesy_wrong_rate", "ood_rejected_rate"))

    assert missed({**unknown, name: still_good}) == []
    assert missed({**unknown, name: too_bad}) == [name]


# ---------------------------------------------------------------- texts


def test_the_texts_belong_to_the_documents_and_are_enough() -> None:
    cases = read_yaml(SpeechCases, DEMO_CASES)
    documents = "\n".join(path.read_text("utf-8") for path in (TENANTS / "demo").glob("*.en.md"))
    headings = set(re.findall(r"^## (.+)$", documents, re.MULTILINE))

    assert {case.heading for case in cases.questions} - headings == set()
    assert len({case.said for case in cases.questions}) >= 40
    assert len(set(cases.others)) >= 60 and len(cases.arabic) >= 5 and len(cases.sounds) >= 5
    assert {case.said for case in cases.questions} & set(cases.others) == set()
    assert [case.said for case in cases.courtesies if classify(case.said, "en") is not case.meant] == []


def test_no_voice_of_the_bench_tuned_anything() -> None:
    """Plain voices and the speakers f2, f3, m3, m4, and f5, m5, m8, did."""
    speakers = {voice.partition("+")[2] for voice in VOICES}

    assert len(VOICES) >= 6
    assert speakers & {"", "f2", "f3", "m3", "m4", "f5", "m5", "m8"} == set()


def test_a_wrong_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "cases.yaml").write_text(yaml.safe_dump({"questions": [{"said": "a", "heeding": "b"}]}))

    with pytest.raises(BadSettingsFile, match=r"questions\.0\.heeding: unknown key"):
        read_yaml(SpeechCases, tmp_path / "cases.yaml")


# ---------------------------------------------------------------- the bench itself


async def test_each_utterance_is_the_first_of_a_call(tmp_path: Path) -> None:
    """What was answered before is not counted for the next one."""
    agent = await one_agent(await YamlTenantStore().by_id("demo"), load_profile("embedded"), tmp_path)

    replies = [
        await agent.answer(Transcript(text, True, confidence=1.0))
        for text in ("where is your main office", "hello", "can you repeat that", "", "goodbye")
    ]

    assert replies == [
        Reply(heading="Where is your main office?"),
        Reply(line="greeting"),
        Reply(repeated=True),
        Reply(line="did_not_catch"),
        Reply(line="goodbye"),
    ]


async def test_a_part_of_the_bench_keeps_its_limits(tmp_path: Path) -> None:
    """Two voices and every eighth text, with room for the luck of so few: the whole is `dukat bench recognition`."""
    pytest.importorskip("espeakng_loader", reason="extra embedded-voice is not installed: no speech to recognise")
    agent = await one_agent(await YamlTenantStore().by_id("demo"), load_profile("embedded"), tmp_path)
    texts = read_yaml(SpeechCases, DEMO_CASES).thinned(6)

    outcomes, spent = await listen(agent, texts, ("en-gb-x-rp+m1", "en-us-nyc+m7"), Room(), seed=3)

    figures = summary(outcomes)
    assert figures["utterances"] == 16 and figures["ood_utterances"] >= 24 and spent.audio_s > 60
    assert figures["wer"] <= 0.2, figures["failures"]
    assert figures["wrong_answer_rate"] == 0 and figures["courtesy_wrong_rate"] == 0, figures["failures"]
    assert figures["ood_rejected_rate"] >= 0.9, figures["failures"]


CASES = {
    "questions": [{"said": "where is your main office", "heading": "Where is your main office?"}],
    "others": ["the ferry leaves at noon"],
}


def run(tmp_path: Path, cases: dict[str, object], *options: str) -> tuple[int, str]:
    pytest.importorskip("espeakng_loader", reason="extra embedded-voice is not installed: no speech to recognise")
    file = tmp_path / "cases.yaml"
    file.write_text(yaml.safe_dump(cases))
    done = CliRunner().invoke(
        bench.app, ["recognition", "--cases", str(file), "--voices", "en-us-nyc+m7,en-gb-x-rp+m1", *options]
    )
    return done.exit_code, done.output


def test_the_command_prints_one_object(tmp_path: Path) -> None:
    code, output = run(tmp_path, CASES, "--json", "--opus", "--noise-db", "30")

    result = json.loads(output.splitlines()[-1])
    assert code == 0
    assert (result["line"], result["noise_db"], result["seed"]) == ("opus", 30.0, 1)
    assert (result["utterances"], result["wer"], result["ood_rejected_rate"]) == (2, 0.0, 1.0)


def test_a_missed_limit_is_an_exit_code(tmp_path: Path) -> None:
    """A question of the documents among the texts that nothing answers is taken, and the command says so."""
    code, output = run(tmp_path, {**CASES, "others": ["where is your main office"]})

    assert code == 1
    assert "heard as 'where is your main office'" in output
    assert '"ood_rejected_rate": 0.0' in output


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--opus", "--telephone"), "line_unclear"),
        (("--tenant", "nobody"), "tenant_unknown"),
        (("--profile", "nothing"), "no such profile"),
        (("--voices", "en-us-nyc+nobody"), "voice_unknown"),
        (("--voices", "xx"), "voice_not_loaded"),
    ],
)
def test_what_cannot_be_measured_is_said(tmp_path: Path, options: tuple[str, ...], told: str) -> None:
    code, output = run(tmp_path, CASES, *options)

    assert code == 1
    assert told in output
