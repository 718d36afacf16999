"""Sanitizes untrusted text for display, and suggests names for misspelt ones."""

import difflib
from collections.abc import Iterable


def printable(text: str, replacement: str = "") -> str:
    """Returns the text with white space as plain spaces and other unprintable characters replaced.

    Control, invisible and direction-changing characters are not printable: a terminal could act on them, or
    they could mislead a reader.
    """
    if text.isprintable():
        return text
    return "".join(_printable(character, replacement) for character in text)


def _printable(character: str, replacement: str) -> str:
    if character.isspace():
        return " "
    return character if character.isprintable() else replacement


def one_line(text: str, max_chars: int) -> str:
    """Returns the text as one printable line of at most `max_chars` characters; "…" marks a cut."""
    line = " ".join(printable(text, " ").split())
    return line if len(line) <= max_chars else line[: max_chars - 1] + "…"


def escape_untrusted(text: str) -> str:
    r"""The text with every character that is not printable written as an escape such as `\x1b`.

    Line breaks stay, tabs become spaces.
    """
    text = text.replace("\r\n", "\n").replace("\t", "    ")
    if text.isprintable():
        return text
    return "".join(each if each == "\n" or each.isprintable() else _escape(each) for each in text)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """Returns "did you mean …?" with the closest known name; empty if none is close."""
    close = difflib.get_close_matches(wrong, list(known), n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else ""
