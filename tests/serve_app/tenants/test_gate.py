"""The lock on the door: the installation's token, its keys on disk, and the tenants that need none on loopback."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from deployments.contracts.errors import BadSettings, NotAllowed
from serve_app.tenants.gate import LEAST_SECRET_CHARS, Gate, secret
from tests.fakes.fake_tenant import a_tenant

TOKEN = "t" * 43
LOCAL = {"host": "127.0.0.1:8000"}
OPEN, LOCKED = a_tenant(open_on_loopback=True), a_tenant()


def test_a_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "keys"
    first, again, other = secret(folder, "a.key"), secret(folder, "a.key"), secret(folder, "b.key")

    assert first == again != other
    assert len(first) >= LEAST_SECRET_CHARS
    assert stat.S_IMODE((folder / "a.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert sorted(file.name for file in folder.iterdir()) == ["a.key", "b.key"]


def test_processes_that_start_at_once_have_one_key(tmp_path: Path) -> None:
    """Each is ready before any may begin."""
    script = (
        "import sys; from pathlib import Path; from serve_app.tenants.gate import secret\n"
        "print('ready', flush=True); sys.stdin.readline(); print(secret(Path(sys.argv[1]), 'api.token'))"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "keys")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[3],
        )
        for _ in range(5)
    ]
    for child in children:
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    keys = {child.communicate(timeout=60)[0].strip() for child in children}

    assert keys == {(tmp_path / "keys" / "api.token").read_text()}
    assert [file.name for file in (tmp_path / "keys").iterdir()] == ["api.token"]


def test_the_loser_of_a_race_takes_the_winner_s_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process makes the key between our look and our link."""
    real = Path.exists

    def looked_too_early(path: Path) -> bool:
        found = real(path)
        if path.name == "api.token" and not found:
            path.write_text("w" * 43)
        return found

    monkeypatch.setattr(Path, "exists", looked_too_early)

    assert secret(tmp_path, "api.token") == "w" * 43
    assert [file.name for file in tmp_path.iterdir()] == ["api.token"]


def test_a_key_in_a_folder_that_cannot_be_written_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret mounted by Kubernetes is read-only, and ends in a newline more often than not."""
    (tmp_path / "api.token").write_text(f"{TOKEN}\n")
    monkeypatch.setattr("os.open", lambda *_: pytest.fail("nothing is to be written"))

    assert secret(tmp_path, "api.token") == TOKEN


@pytest.mark.parametrize("content", ["", "\n", "short", " " * 100])
def test_an_empty_key_is_refused_instead_of_opening_every_door(tmp_path: Path, content: str) -> None:
    (tmp_path / "api.token").write_text(content)

    with pytest.raises(BadSettings, match="key_unusable"):
        secret(tmp_path, "api.token")


@pytest.mark.parametrize("given", [f"Bearer {TOKEN}", f"bearer {TOKEN}", f"Bearer  {TOKEN} "])
def test_the_token_opens_every_tenant(given: str) -> None:
    Gate(TOKEN, open_on_loopback=False).check({"authorization": given}, LOCKED)


@pytest.mark.parametrize(
    "given", ["", " ", "Bearer", "Bearer ", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x", "é ü"]
)
@pytest.mark.parametrize("tenant", [OPEN, LOCKED])
def test_a_wrong_token_opens_nothing_not_even_what_is_open(given: str, tenant: object) -> None:
    with pytest.raises(NotAllowed, match="token_invalid") as error:
        Gate(TOKEN, open_on_loopback=True).check({"authorization": given, **LOCAL}, tenant)  # type: ignore[arg-type]

    assert error.value.status == 401


def test_without_a_token_only_a_tenant_marked_so_is_open_and_only_on_loopback() -> None:
    Gate(TOKEN, open_on_loopback=True).check(LOCAL, OPEN)

    for tenant, on_loopback in ((LOCKED, True), (OPEN, False), (LOCKED, False)):
        with pytest.raises(NotAllowed, match="token_missing") as error:
            Gate(TOKEN, open_on_loopback=on_loopback).check(LOCAL, tenant)
        assert error.value.status == 401


def refusal(**headers: str) -> str:
    """The code a request without a token is refused with; "" when it may pass."""
    try:
        Gate(TOKEN, open_on_loopback=True).check({k.replace("_", "-"): v for k, v in headers.items()}, OPEN)
    except NotAllowed as error:
        assert error.status == 403
        return error.code
    return ""


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "LocalHost", "[::1]:8000", "127.0.0.1"])
def test_what_is_open_is_open_to_programs_of_this_machine_and_to_our_own_page(host: str) -> None:
    assert refusal(host=host) == ""
    assert refusal(host=host, origin=f"http://{host}", sec_fetch_site="same-origin") == ""
    assert refusal(host=host, sec_fetch_site="same-origin") == ""  # a GET of our page has no Origin
    assert refusal(host=host, sec_fetch_site="none") == ""  # typed into the address bar


@pytest.mark.parametrize(
    "host",
    ["evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.5:8000", "", "[::1", "::2"],
)
def test_a_name_that_was_made_to_lead_here_is_refused(host: str) -> None:
    """DNS rebinding: page and request agree, and the request arrives on loopback."""
    assert refusal(host=host, origin=f"http://{host}", sec_fetch_site="same-origin") == "host_foreign"
    assert refusal(host=host) == "host_foreign"


def test_a_request_without_a_host_is_refused() -> None:
    assert refusal() == "host_foreign"


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:3000"},
        {"origin": "http://localhost:8000"},
        {"origin": "http://127.0.0.1:8000.evil.example"},
        {"origin": "http://evil.example", "sec_fetch_site": "same-origin"},
        {"origin": ""},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "Cross-Site"},
    ],
)
def test_another_page_of_the_same_browser_is_refused(headers: dict[str, str]) -> None:
    assert refusal(host="127.0.0.1:8000", **headers) == "origin_foreign"


def test_with_the_token_a_request_may_come_from_anywhere() -> None:
    headers = {"authorization": f"Bearer {TOKEN}", "host": "calls.example", "origin": "https://desk.example"}

    Gate(TOKEN, open_on_loopback=True).check(headers, OPEN)
