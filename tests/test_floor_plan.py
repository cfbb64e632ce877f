"""The floor plan of ARCHITECTURE.md, read from the imports: they point down only, and never in a circle.

Every import counts, those inside functions and under `TYPE_CHECKING` too; circles are looked for among those that run.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HOUSE = ("configs", "deployments", "serve_app", "kb_pipeline", "analytics")

GROUND = {"configs", "deployments.contracts"}
MAY_IMPORT: dict[str, set[str]] = {
    "configs": {"configs"},
    "deployments.contracts": GROUND,
    "deployments.engines": {*GROUND, "deployments.engines"},
    "deployments": {*GROUND, "deployments"},
    "kb_pipeline": {*GROUND, "deployments.engines", "kb_pipeline"},
    "analytics": {*GROUND, "deployments.engines", "analytics"},
    "serve_app": {*GROUND, "deployments", "serve_app"},
    "serve_app.cli": {*GROUND, "deployments", "serve_app", "serve_app.cli", "kb_pipeline", "analytics"},
    "graph": {*GROUND, "deployments", "serve_app", "kb_pipeline", "analytics"},
}
"""Floor → floors below it and itself. The floor of a module is the longest of these names that it begins with.
Engines stand under `deployments` and are named by settings, not imported: so no floor but their own and the side
buildings, which use the same ones, lists them."""

EXCEPTIONS = {
    ("serve_app.dialogue.intents", "deployments.engines.arabic"): "rules of Arabic spelling, no engine; shared words",
    ("serve_app.dialogue.language", "deployments.engines.arabic"): "the same",
}
"""(module, what it imports) → why it may all the same."""

WEB = {"starlette", "fastapi", "uvicorn", "aiohttp"}
LINE = {"aiortc", "aioice"}
KEEPS_OUT: dict[str, set[str]] = {
    "configs": {"ray", *WEB, *LINE},
    "deployments.contracts": {"ray", *WEB, *LINE},
    "deployments.engines": {"ray", *WEB, *LINE},
    "kb_pipeline": {*WEB, *LINE},
    "analytics": {*WEB, *LINE},
    "serve_app.call": {"ray", *WEB, *LINE},
    "serve_app.media": {"ray", *WEB, *LINE},
    "serve_app.dialogue": {"ray", *WEB, *LINE},
    "serve_app.tenants": {"ray", *WEB, *LINE},
    "serve_app.caller": {"ray", "starlette", "fastapi", "uvicorn"},
}
"""Folder → packages that nothing in it may bring in, by whatever way. So a call runs in a test without a cluster."""

IMPORT_RAY = {
    "graph": "connects the deployments",
    "deployments.clients": "the one place that touches handles",
    "deployments.host_board": "the store of Ray's head, in which hosts see each other",
    "deployments.knowledge_server": "is given the handles of its two models, and hands them to clients",
    "serve_app.local_cluster": "starts Ray and Serve for `dukat up`",
    "analytics.datasink": "is a Ray Data Datasink",
}
"""Modules that may, and why. Everything else that needs Ray goes through them."""

TOUCH_HANDLES = {"deployments.clients", "deployments.knowledge_server"}


@dataclass(frozen=True, slots=True)
class Import:
    """One imported name."""

    module: str
    runs: bool
    """Not only for the type checker."""


@cache
def modules() -> dict[str, Path]:
    """Every module of the product."""
    files = [ROOT / "graph.py", *(file for folder in HOUSE for file in sorted((ROOT / folder).rglob("*.py")))]
    named = {".".join(file.relative_to(ROOT).with_suffix("").parts): file for file in files}
    return {name.removesuffix(".__init__"): file for name, file in named.items()}


def imports_in(source: str) -> Iterator[Import]:
    """What the source imports: for `from a import b` both `a` and `a.b`, since `b` may be a module."""

    def walk(node: ast.AST, runs: bool) -> Iterator[Import]:
        match node:
            case ast.Import(names):
                yield from (Import(alias.name, runs) for alias in names)
            case ast.ImportFrom(module, names, level):
                assert level == 0 and module, "relative imports hide where they lead"
                yield Import(module, runs)
                yield from (Import(f"{module}.{alias.name}", runs) for alias in names)
            case ast.If(ast.Name("TYPE_CHECKING"), body, orelse):
                yield from (each for statement in body for each in walk(statement, False))
                yield from (each for statement in orelse for each in walk(statement, runs))
            case _:
                for inner in ast.iter_child_nodes(node):
                    yield from walk(inner, runs)

    yield from walk(ast.parse(source), True)


@cache
def imports_of(module: str) -> tuple[Import, ...]:
    return tuple(imports_in(modules()[module].read_text("utf-8")))


def own(module: str, *, that_run: bool) -> set[str]:
    """Modules of the product that a module imports."""
    return {each.module for each in imports_of(module) if each.module in modules() and (each.runs or not that_run)}


@cache
def reach(module: str) -> frozenset[str]:
    """Every module of the product that is loaded with this one, itself included."""
    found, open_ = {module}, [module]
    while open_:
        new = own(open_.pop(), that_run=True) - found
        found |= new
        open_ += new
    return frozenset(found)


def packages(module: str) -> set[str]:
    """Top-level packages that a module imports."""
    return {each.module.partition(".")[0] for each in imports_of(module) if each.runs}


def floor(module: str) -> str:
    """The floor a module stands on."""
    return max((name for name in MAY_IMPORT if f"{module}.".startswith(f"{name}.")), key=len)


def lies_in(module: str, folder: str) -> bool:
    return f"{module}.".startswith(f"{folder}.")


def test_the_reader_sees_every_kind_of_import() -> None:
    """Else the tests below would prove nothing."""
    source = (
        "import ray.data as d\nfrom a.b import c\nif TYPE_CHECKING:\n    import t\nelse:\n    import e\n"
        "def f():\n    try:\n        import g\n    finally:\n        pass\n"
    )

    seen = set(imports_in(source))

    running = {Import(name, True) for name in ("ray.data", "a.b", "a.b.c", "e", "g")}
    assert seen == running | {Import("t", False)}


def test_the_whole_house_is_read() -> None:
    found = modules()

    assert {"graph", "configs.settings", "serve_app.call.session", "deployments.engines.espeak", "kb_pipeline"} <= set(
        found
    )
    assert {name for name in MAY_IMPORT if not any(lies_in(module, name) for module in found)} == set()


def test_imports_point_down() -> None:
    up = {
        (module, name)
        for module in modules()
        for name in own(module, that_run=False)
        if floor(name) not in MAY_IMPORT[floor(module)]
    }

    assert up == set(EXCEPTIONS)


def test_there_is_no_circle() -> None:
    graph = {module: own(module, that_run=True) - {module} for module in modules()}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"imports go in a circle: {' → '.join(error.args[1])}")


@pytest.mark.parametrize("folder", KEEPS_OUT)
def test_what_is_kept_out_comes_in_by_no_way(folder: str) -> None:
    found = {
        (module, by, package)
        for module in modules()
        if lies_in(module, folder)
        for by in reach(module)
        for package in packages(by) & KEEPS_OUT[folder]
    }

    assert found == set()


def test_ray_is_imported_where_it_is_said_to_be() -> None:
    assert {module for module in modules() if "ray" in packages(module)} == set(IMPORT_RAY)


def test_handles_are_touched_in_the_clients_alone() -> None:
    handles = ("DeploymentHandle", "get_deployment_handle", "get_app_handle")
    named = {module for module, file in modules().items() if any(name in file.read_text("utf-8") for name in handles)}

    assert named == TOUCH_HANDLES


def test_webrtc_is_spoken_at_the_doors_and_by_our_own_caller() -> None:
    speak = {module for module in modules() if packages(module) & LINE}

    assert {module for module in speak if not lies_in(module, "serve_app.doors")} == {
        module for module in speak if lies_in(module, "serve_app.caller")
    }


def test_the_roof_defines_no_class() -> None:
    """A replica imports the module of its class, and with the roof it would import the whole house."""
    classes = [
        node.name for node in ast.walk(ast.parse((ROOT / "graph.py").read_text())) if isinstance(node, ast.ClassDef)
    ]

    assert classes == []
