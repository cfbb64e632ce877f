"""`serve_config.yaml`: what Serve would take without a word is refused here, before it is deployed."""

from __future__ import annotations

import importlib
import typing
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel
from ray.serve import Application
from ray.serve.schema import ServeDeploySchema

from configs.settings import AppArgs, load_profile
from configs.strict import parse
from deployments.clients import DEPLOYMENTS
from serve_app.local_cluster import read_config

FILE = Path(__file__).parents[1] / "serve_config.yaml"
CONFIG: dict[str, Any] = yaml.safe_load(FILE.read_text("utf-8"))
APPLICATIONS = CONFIG["applications"]
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The pydantic classes that a field may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in models_in(part)]


def unknown_keys(model: type[BaseModel], values: Any, path: str = "") -> list[str]:
    """Keys that no field has, by their path. `args` and `runtime_env` are not Serve's to know."""
    if isinstance(values, list):
        return [key for place, each in enumerate(values) for key in unknown_keys(model, each, f"{path}.{place}")]
    if not isinstance(values, dict):
        return []
    unknown = []
    for name, value in values.items():
        field = model.model_fields.get(name)
        if field is None:
            unknown.append(f"{path}.{name}".lstrip("."))
        elif name not in ("args", "runtime_env"):
            for inner in models_in(field.annotation):
                unknown += unknown_keys(inner, value, f"{path}.{name}")
    return unknown


def test_serve_takes_the_file() -> None:
    schema = ServeDeploySchema.model_validate(CONFIG)

    assert [application.name for application in schema.applications] == [each["name"] for each in APPLICATIONS]


def test_every_key_is_one_that_serve_knows() -> None:
    assert unknown_keys(ServeDeploySchema, CONFIG) == []


def test_the_walk_finds_what_serve_lets_pass() -> None:
    """Else the test above would prove nothing."""
    misspelt = {
        "proxy_locaton": "EveryNode",
        "http_options": {"hots": "127.0.0.1"},
        "logging_config": {"log_levle": "INFO"},
        "applications": [{"name": "a", "import_path": "graph:x", "deployments": [{"name": "d", "num_replica": 2}]}],
    }

    assert unknown_keys(ServeDeploySchema, misspelt) == [
        "proxy_locaton",
        "http_options.hots",
        "logging_config.log_levle",
        "applications.0.deployments.0.num_replica",
    ]


@pytest.mark.parametrize("application", APPLICATIONS, ids=lambda each: each["name"])
def test_every_application_is_built_from_its_args(application: dict[str, Any]) -> None:
    module, _, builder = application["import_path"].partition(":")
    args = parse(AppArgs, application["args"], FILE.name)

    built = getattr(importlib.import_module(module), builder)(args)

    assert isinstance(built, Application)
    assert load_profile(args.profile).name == args.profile


def test_all_applications_share_their_args() -> None:
    """Another state folder for one of them would split keys, spool and documents."""
    assert all(each["args"] == APPLICATIONS[0]["args"] for each in APPLICATIONS)


def test_names_and_routes_are_those_the_code_counts_on() -> None:
    routes = {each["name"]: each["route_prefix"] for each in APPLICATIONS}

    assert {name for name, route in routes.items() if route is None} == {"speech", "llm", "knowledge", "lake"}
    assert (routes["voice"], routes["api"]) == ("/v1/calls", "/")
    assert set(routes) == set(DEPLOYMENTS.values()) | {"api"}


def test_what_is_open_without_a_token_is_open_on_loopback_only() -> None:
    args = AppArgs.model_validate(APPLICATIONS[0]["args"])

    assert CONFIG["http_options"]["host"] in LOOPBACK or not args.open_on_loopback


def test_the_command_line_deploys_this_very_file() -> None:
    assert read_config() == CONFIG
