"""Writes the text of a web page, block by block, while `html_page` reads its tags.

In: words, and where headings, lines, items, rows and questions begin and end. Out: Markdown headings (exactly these are
found by `markdown.headings`) and paragraphs with an empty line between: a row or an item is a sentence of its own.
"""

from __future__ import annotations

_DEEPEST = 6
_LINE = "\0"
_CELL = "\1"
"""Marks inside an open block; the page's own are blanked."""
_BLANK_MARKS = str.maketrans({_LINE: " ", _CELL: " "})
_MARKDOWN = ("#", "```", "~~~")
_MOST_HEADING_CHARS = 300
"""More is a text that someone wanted large, or a heading that was never closed."""


class PageText:
    """The text so far, and the block that is open."""

    def __init__(self) -> None:
        self._blocks: list[str] = []
        self._open: list[str] = []
        self._has_words = False
        """Something is to be read in the open block."""
        self._cells = 0
        """Table cells inside each other; in one, blocks do not begin a paragraph of their own."""
        self._item = False
        """The open block is an item of a list."""
        self._heading = 0
        """Level of the open heading; 0 = it is no heading."""
        self._is_question = self._is_term = False
        self._section = (0, "")
        """Level and text of the last heading that is no question; 0 = none yet."""
        self._after_term = False
        """Nothing came after the question of a <dt>."""
        self._in_answer = self._after_answers = False

    def add(self, words: str, keeps_lines: bool = False) -> None:
        """Words of the open block."""
        words = words.translate(_BLANK_MARKS)
        self._has_words = self._has_words or not words.isspace()
        self._open.append(words.replace("\n", _LINE) if keeps_lines else words)

    def begin_heading(self, level: int) -> bool:
        """False inside another heading, to which the words then belong."""
        return self._begin(level, question=False, term=False)

    def begin_question(self, is_term: bool) -> bool:
        """A heading one deeper than the section it stands in."""
        return self._begin(min(max(self._section[0], 1) + 1, _DEEPEST), question=True, term=is_term)

    def end_heading(self) -> None:
        if self._heading:
            self._flush()

    def end_line(self) -> None:
        self._open.append(" " if self._heading or self._cells else _LINE)

    def end_block(self) -> None:
        """A paragraph begins or ends here. A heading with words in it ends; one without waits for its words."""
        if self._heading:
            if self._has_words:
                self._flush()
        elif self._cells:
            self._open.append(" ")
        else:
            self._flush()

    def begin_item(self) -> None:
        self._item = not self._cells and not self._heading

    def end_row(self) -> None:
        self._flush()

    def begin_cell(self) -> None:
        self._cells += 1
        self._open.append(_CELL)

    def end_cell(self) -> None:
        self._cells -= 1
        self._open.append(_CELL)

    def end_questions(self) -> None:
        """What follows is no longer the last question's answer."""
        self._flush()
        self._after_answers = self._in_answer
        self._after_term = False

    def finish(self) -> str:
        """The whole text."""
        self._flush()
        return "\n\n".join(self._blocks)

    def _begin(self, level: int, question: bool, term: bool) -> bool:
        if self._heading and not self._has_words:
            return False
        self._flush()
        self._heading, self._is_question, self._is_term = level, question, term
        return True

    def _flush(self) -> None:
        lines = [" ".join(_row(line).split()) for line in "".join(self._open).split(_LINE)]
        lines = [line for line in lines if line]
        level, item = self._heading, self._item
        self._open.clear()
        self._has_words, self._heading = False, 0
        if not lines:
            return
        self._item = False
        words = " ".join(lines)
        if level and len(words) <= _MOST_HEADING_CHARS and not (self._is_term and self._after_term):
            self._put_heading(level, words)
        else:
            # The second of two terms with one answer is text, for the first would otherwise have none and be lost.
            self._put_body(lines, "- " if item and not level else "")

    def _put_heading(self, level: int, words: str) -> None:
        self._blocks.append(f"{'#' * level} {words}")
        self._in_answer, self._after_term, self._after_answers = self._is_question, self._is_term, False
        if not self._is_question:
            self._section = (level, words)

    def _put_body(self, lines: list[str], mark: str) -> None:
        if self._after_answers:
            # Markdown ends a section by a heading alone: that of the section the questions stood in, or an empty one.
            level, words = self._section
            self._blocks.append(f"{'#' * max(level, 1)} {words}".rstrip())
            self._in_answer = self._after_answers = False
        lines[0] = mark + lines[0]
        self._blocks.append("\n".join(_not_markdown(line) for line in lines))
        self._after_term = False


def _row(line: str) -> str:
    """Cells as they are read aloud: with a comma between, where there is no other stop."""
    if _CELL not in line:
        return line
    read = ""
    for cell in (cell.strip() for cell in line.split(_CELL)):
        if cell:
            read += f"{cell}" if not read else f" {cell}" if read[-1] in ".,:;!?؟،؛" else f", {cell}"
    return read


def _not_markdown(line: str) -> str:
    """Indented, a line that happens to begin with a sharp or a fence is neither heading nor code."""
    return f"    {line}" if line.startswith(_MARKDOWN) else line
