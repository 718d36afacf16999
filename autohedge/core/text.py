"""Decodes text files, sanitizes untrusted text for display, and suggests names for misspelt ones."""

import codecs
import difflib
from collections.abc import Iterable

from autohedge.core.errors import Misconfigured

# The mark of UTF-32 begins with that of UTF-16, so it comes first.
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}


def decode_text(content: bytes, place: object) -> str:
    """Returns the text of the file at `place`, without a byte order mark.

    A file is in UTF-8, or in the encoding that its byte order mark names. Raises Misconfigured for any other.
    """
    mark = next((mark for mark in _MARKS if content.startswith(mark)), b"")
    encoding = _MARKS.get(mark, "utf-8")
    try:
        text = content[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        guess = f"line {line} is not in UTF-8, but perhaps in Latin-1 or Windows-1252"
        why = f"it is not in {encoding[:6].upper()}, as its byte order mark says" if mark else guess
        raise Misconfigured(f"cannot read {place}: {why}; save it as UTF-8") from None
    if "\0" in text:
        why = "it holds NUL characters, as UTF-16 without a byte order mark does"
        raise Misconfigured(f"cannot read {place}: {why}; save it as UTF-8")
    return text


def printable(text: str, replacement: str = "") -> str:
    """Returns the text with white space as plain spaces and other unprintable characters replaced.

    Control, invisible and direction-changing characters are not printable: a terminal could act on them, or
    they could mislead a reader.
    """
    if text.isprintable():
        return text
    return "".join(_printable(character, replacement) for character in text)


def printable_lines(text: str) -> str:
    """Returns the text with every line printable; line breaks and tabs stay."""
    if text.isprintable():
        return text
    return "".join(each if each in "\n\t" else _printable(each, "") for each in text)


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
    close = closest(wrong, {name: name for name in known})
    return f"did you mean {close}?" if close else ""


def closest(wrong: str, known: dict[str, str], cutoff: float = 0.6) -> str:
    """Returns the value of the closest name, compared without case and separators; empty if none is close."""
    plain = {bare_name(name): value for name, value in reversed(known.items())}
    found = difflib.get_close_matches(bare_name(wrong), plain, n=1, cutoff=cutoff)
    return plain[found[0]] if found else ""


def bare_name(name: str) -> str:
    """Returns a name without case and without the separators `/ - _ .`, in which spellings of it differ."""
    return name.casefold().translate(_SEPARATORS)


_SEPARATORS = str.maketrans("", "", "/-_.")
