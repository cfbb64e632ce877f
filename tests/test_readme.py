"""The README holds no unfilled place, and every file it names exists."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_readme_is_finished_and_what_it_links_is_there() -> None:
    text = (ROOT / "README.md").read_text("utf-8")

    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith("http")]
    assert "@@" not in text
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
