"""One running product for all system tests: starting one takes a while."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.running import RunningProduct


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProduct]:
    """`dukat up` with the profile `embedded`."""
    with RunningProduct(tmp_path_factory.mktemp("product")) as running:
        yield running
