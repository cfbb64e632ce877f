"""Settings: profiles that ship load, a wrong one is refused with the path of the wrong key, Serve's names are right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from ray.serve.schema import DeploymentSchema

from configs.engines import Engines
from configs.settings import PROFILES, AppArgs, DeploymentOptions, Deployments, Profile, load_profile
from configs.strict import BadSettingsFile, parse, read_yaml
from deployments.clients import DEPLOYMENTS

ENGINES: dict[str, Any] = {stage: {"kind": "emulated"} for stage in ("asr", "llm", "tts")}
MINIMAL: dict[str, Any] = {"name": "test", "engines": ENGINES}
SHIPPED = sorted(file.stem for file in PROFILES.glob("*.yaml"))


def complaint(values: Any) -> str:
    """What is said of these values as a profile."""
    with pytest.raises(BadSettingsFile) as error:
        parse(Profile, values, "test.yaml")
    return str(error.value)


# ---------------------------------------------------------------- profiles


def test_the_default_profile_ships() -> None:
    assert AppArgs().profile in SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_every_profile_that_ships_loads_under_its_own_name(name: str) -> None:
    profile = load_profile(name)

    assert profile.name == name
    assert set(profile.engines.natures()) == set(Engines.model_fields)


def test_the_emulated_profile_runs_no_model_but_the_vad() -> None:
    natures = load_profile("emulated").engines.natures()

    assert {stage for stage in ("asr", "llm", "tts") if natures[stage]["nature"] != "emulated"} == set()


def test_a_profile_may_be_a_file(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(yaml.safe_dump(MINIMAL | {"limits": {"max_calls_per_host": 7}}))

    assert load_profile(str(file)).limits.max_calls_per_host == 7


@pytest.mark.parametrize("name", ["ludicrous", "", "../settings", "/nowhere/x.yaml"])
def test_a_profile_that_does_not_exist_is_answered_with_those_that_do(name: str) -> None:
    with pytest.raises(BadSettingsFile) as error:
        load_profile(name)

    assert ", ".join(SHIPPED) in str(error.value)


# ---------------------------------------------------------------- wrong files


@pytest.mark.parametrize(
    ("values", "path", "why"),
    [
        (MINIMAL | {"limit": {}}, "limit", "unknown key"),
        (MINIMAL | {"turn_taking": {"strat_ms": 1}}, "turn_taking.strat_ms", "unknown key"),
        (MINIMAL | {"deployments": {"asr": {"num_gpu": 1}}}, "deployments.asr.num_gpu", "unknown key"),
        (MINIMAL | {"engines": ENGINES | {"tts": {"kind": "espeak", "pitc": 3}}}, "engines.tts.pitc", "unknown key"),
        (MINIMAL | {"engines": ENGINES | {"tts": {"kind": "espeak", "pitch": 300}}}, "engines.tts.pitch", "less than"),
        (MINIMAL | {"engines": ENGINES | {"asr": {"kind": "whisper"}}}, "engines.asr", "does not match"),
        (MINIMAL | {"engines": ENGINES | {"asr": {}}}, "engines.asr", "kind"),
        (MINIMAL | {"engines": {}}, "engines.asr", "required"),
        (MINIMAL | {"limits": {"longest_call_s": "long"}}, "limits.longest_call_s", "valid number"),
        (MINIMAL | {"limits": {"longest_call_s": float("inf")}}, "limits.longest_call_s", "finite"),
        (MINIMAL | {"limits": {"longest_call_s": float("nan")}}, "limits.longest_call_s", "finite"),
        (MINIMAL | {"limits": {"max_calls_per_host": 0}}, "limits.max_calls_per_host", "greater than"),
        (MINIMAL | {"media": {"host_addresses": ["a", 3]}}, "media.host_addresses.1", "valid string"),
        (MINIMAL | {"media": []}, "media", "dictionary"),
        ({"engines": ENGINES}, "name", "required"),
        (None, "(whole file)", "dictionary"),
        ([MINIMAL], "(whole file)", "dictionary"),
        ("text", "(whole file)", "dictionary"),
    ],
)
def test_a_wrong_key_is_named_by_its_path(values: Any, path: str, why: str) -> None:
    said = complaint(values)

    assert said.startswith(f"test.yaml: {path}: ")
    assert why in said


def test_every_wrong_key_is_named_at_once() -> None:
    said = complaint(MINIMAL | {"limits": {"a": 1, "b": 2}, "colour": "red"})

    assert [line.split(": ")[1] for line in said.splitlines()] == ["limits.a", "limits.b", "colour"]


@pytest.mark.parametrize(
    "content", [b"name: [", b"a: b: c", b"\t- x", b"\xff\xfe\x00", b"name: !!python/object:os.x {}"]
)
def test_what_is_no_yaml_is_refused_with_the_file_s_name(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "broken.yaml"
    file.write_bytes(content)

    with pytest.raises(BadSettingsFile, match=r"broken\.yaml: not YAML"):
        read_yaml(Profile, file)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSettingsFile, match="cannot be read"):
        read_yaml(Profile, tmp_path)  # a folder


def test_settings_cannot_be_changed() -> None:
    profile = parse(Profile, MINIMAL, "here")

    with pytest.raises(ValidationError, match="frozen"):
        profile.limits.max_calls_per_host = 5


# ---------------------------------------------------------------- what Serve is told


def test_the_options_of_a_deployment_are_words_that_serve_knows() -> None:
    """Serve takes misspelt ones without a word."""
    told = DeploymentOptions().for_serve()

    assert set(told) <= set(DeploymentSchema.model_fields)
    DeploymentSchema(name="x", **told)


def test_every_option_reaches_serve() -> None:
    options = DeploymentOptions(
        num_replicas=3,
        num_cpus=0.5,
        num_gpus=1,
        max_ongoing_requests=5,
        max_queued_requests=6,
        graceful_shutdown_timeout_s=7,
        health_check_period_s=8,
    )

    told = options.for_serve()

    assert told.pop("ray_actor_options") == {"num_cpus": 0.5, "num_gpus": 1}
    assert told == options.model_dump(exclude={"num_cpus", "num_gpus"})


def test_every_deployment_has_its_options() -> None:
    assert set(Deployments.model_fields) == set(DEPLOYMENTS) | {"api"}


# ---------------------------------------------------------------- args of the applications


def test_folders_are_absolute_for_every_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")

    assert AppArgs().state_dir == "/home/someone/.dukat"  # the default, too
    assert AppArgs(state_dir="~/x", tenants="~/tenants").tenants == "/home/someone/tenants"
    assert AppArgs(state_dir="/var/dukat").state_dir == "/var/dukat"
    assert AppArgs().tenants == ""


@pytest.mark.parametrize("key", ["state_dir", "tenants"])
@pytest.mark.parametrize("folder", ["state", "./state", "../x", "~nobody-of-that-name/x"])
def test_a_relative_folder_is_refused(key: str, folder: str) -> None:
    with pytest.raises(BadSettingsFile, match=f"serve_config.yaml: {key}: .*absolute"):
        parse(AppArgs, {key: folder}, "serve_config.yaml")


def test_an_empty_state_folder_is_refused() -> None:
    with pytest.raises(BadSettingsFile, match="state_dir"):
        parse(AppArgs, {"state_dir": ""}, "serve_config.yaml")
