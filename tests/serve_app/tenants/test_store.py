"""Tenants: the one that ships is whole, wrong files are refused with the key's path, numbers lead to one tenant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from configs.settings import TENANTS
from configs.strict import BadSettingsFile
from deployments.contracts.errors import NotAllowed, NotFound
from serve_app.tenants.models import Lines, Tenant, as_e164
from serve_app.tenants.store import YamlTenantStore
from tests.fakes.fake_tenant import a_tenant


def write(folder: Path, file_name: str, /, **changes: Any) -> Path:
    """A tenant file, with these keys changed; a key given as ... is left out."""
    values = a_tenant().model_dump(mode="json", exclude_none=True) | changes
    file = folder / f"{file_name}.yaml"
    file.write_text(yaml.safe_dump({key: value for key, value in values.items() if value is not ...}), encoding="utf-8")
    return file


async def test_the_tenant_that_ships_is_found_by_id_and_by_number() -> None:
    store = YamlTenantStore()

    demo = await store.by_id("demo")

    assert demo == await store.by_number("00971 4 555 0100")
    assert demo.languages == ("en", "ar")
    assert demo.documents == TENANTS / "demo"
    assert demo.open_on_loopback


async def test_every_line_of_the_shipped_tenant_is_in_its_language() -> None:
    demo = await YamlTenantStore().by_id("demo")

    for line in Lines.model_fields:
        english, arabic = demo.line(line, "en"), demo.line(line, "ar")  # type: ignore[arg-type]
        assert "{" not in english + arabic
        assert english[0].isascii()
        assert "\u0600" <= arabic[0] <= "\u06ff"
    assert "Noor Water and Power" in demo.line("greeting", "en")
    assert "{" not in demo.instructions()


async def test_an_unknown_tenant_or_number_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "a", numbers=["+97140000001"])
    store = YamlTenantStore(tmp_path)

    for asked in (
        store.by_id("nobody"),
        store.by_number("+97140000002"),
        store.by_number("alice"),
        store.by_number(""),
    ):
        with pytest.raises(NotFound) as refused:
            await asked
        assert refused.value.code == "tenant_unknown"


async def test_an_inactive_tenant_is_refused_by_either_way(tmp_path: Path) -> None:
    write(tmp_path, "a", active=False, numbers=["+97140000001"])
    store = YamlTenantStore(tmp_path)

    for asked in (store.by_id("fake"), store.by_number("+97140000001")):
        with pytest.raises(NotAllowed) as refused:
            await asked
        assert (refused.value.code, refused.value.status) == ("tenant_inactive", 403)
    assert [tenant.id for tenant in await store.all()] == ["fake"]


async def test_documents_are_found_beside_the_tenant_file(tmp_path: Path) -> None:
    (tmp_path / "papers").mkdir()
    write(tmp_path, "a", documents="papers")

    tenant = await YamlTenantStore(tmp_path).by_id("fake")

    assert tenant.documents == (tmp_path / "papers").resolve()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"colour": "blue"}, "colour: unknown key"),
        ({"name": ...}, "name: Field required"),
        ({"id": "Not A Slug"}, "id: "),
        ({"id": "a\n"}, "id: "),
        ({"numbers": ["0455"]}, "numbers.0: "),
        ({"numbers": ["+٩٧١٤٠٠٠٠٠٠١"]}, "numbers.0: "),
        ({"languages": []}, "languages: "),
        ({"languages": ["en", "en"]}, "languages: Value error, a language is named twice"),
        ({"languages": ["fr"]}, "languages.0: "),
        ({"timezone": "Asia/Dubay"}, "timezone: Value error, no such timezone: 'Asia/Dubay'"),
        ({"voices": {"en": "en-gb"}}, "voices: Value error, nothing for the language 'ar'"),
        ({"lexicon": {"noor": "N OO R"}}, "lexicon: Value error, noor: OO is not an ARPAbet phone"),
        ({"system_prompt": "You are {role}."}, "system_prompt: Value error, unknown field 'role'"),
        ({"system_prompt": "You are {name"}, "system_prompt: Value error, not a template"),
        ({"documents": "nowhere"}, "documents: no such folder: "),
    ],
)
def test_a_wrong_key_is_named_with_its_file(tmp_path: Path, changes: dict[str, Any], complaint: str) -> None:
    file = write(tmp_path, "a", **changes)

    with pytest.raises(BadSettingsFile) as refused:
        YamlTenantStore(tmp_path)

    assert f"{file}: {complaint}" in str(refused.value)


def test_a_wrong_key_deep_inside_is_named_with_its_whole_path(tmp_path: Path) -> None:
    lines = a_tenant().model_dump(mode="json")["lines"]
    lines["ar"]["hold_on"] = "one moment"
    file = write(tmp_path, "a", lines=lines)

    with pytest.raises(BadSettingsFile) as refused:
        YamlTenantStore(tmp_path)

    assert str(refused.value) == f"{file}: lines.ar.hold_on: unknown key"


def test_a_number_belongs_to_one_tenant(tmp_path: Path) -> None:
    write(tmp_path, "a", id="first", numbers=["+97140000001"])
    write(tmp_path, "b", id="second", numbers=["+97140000009", "+97140000001"])

    with pytest.raises(BadSettingsFile, match=r"b\.yaml: numbers\.1: \+97140000001 belongs to the tenant 'first'"):
        YamlTenantStore(tmp_path)


def test_an_id_belongs_to_one_tenant(tmp_path: Path) -> None:
    write(tmp_path, "a")
    write(tmp_path, "b")

    with pytest.raises(BadSettingsFile, match=r"b\.yaml: id: 'fake'"):
        YamlTenantStore(tmp_path)


def test_a_folder_without_tenants_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSettingsFile, match="no tenant files"):
        YamlTenantStore(tmp_path)


def test_a_file_that_is_not_yaml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("id: [", encoding="utf-8")

    with pytest.raises(BadSettingsFile, match=r"a\.yaml: not YAML"):
        YamlTenantStore(tmp_path)


@pytest.mark.parametrize("written", ["+97145550100", "0097145550100", " 97145550100", "+971 (4) 555-0100"])
def test_a_number_may_be_written_in_any_usual_way(written: str) -> None:
    assert as_e164(written) == "+97145550100"


@pytest.mark.parametrize("written", ["", "alice", "+", "12", "+" + "9" * 16, "sip:+97145550100@x", "٩٧١٤٥٥٥٠١٠٠"])
def test_what_is_no_number_is_none(written: str) -> None:
    assert as_e164(written) is None


def test_a_name_with_braces_is_spoken_as_it_is() -> None:
    tenant: Tenant = a_tenant(name="A {name} Ltd")

    assert tenant.line("goodbye", "en") == "en goodbye of A {name} Ltd"
