"""Text files in several encodings, suggestions of names, and text for a terminal."""

import pytest

from autohedge.core.errors import Misconfigured
from autohedge.core.terminal import PrintableConsole
from autohedge.core.text import decode_text, did_you_mean, printable_lines


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_text_in_unicode_is_decoded_without_its_mark(encoding: str) -> None:
    assert decode_text("é = 1\n".encode(encoding), "a.toml") == "é = 1\n"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("a\né".encode("latin-1"), "line 2 is not in UTF-8, but perhaps in Latin-1 or Windows-1252"),
        ("a€".encode("cp1252"), "line 1 is not in UTF-8, but perhaps in Latin-1 or Windows-1252"),
        ("a = 1".encode("utf-16-le"), "it holds NUL characters, as UTF-16 without a byte order mark does"),
        ("a = 1".encode("utf-16-be"), "it holds NUL characters, as UTF-16 without a byte order mark does"),
        ("a = 1".encode("utf-16")[:-1], "it is not in UTF-16, as its byte order mark says"),
        (b"\xef\xbb\xbf\xe9", "it is not in UTF-8, as its byte order mark says"),
    ],
)
def test_other_encoding_is_named_with_file_and_cure(content: bytes, why: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        decode_text(content, "a.toml")
    assert str(caught.value) == f"cannot read a.toml: {why}; save it as UTF-8"


@pytest.mark.parametrize("wrong", ["LOOKBACK", "Look-Back", "lokback"])
def test_suggestion_ignores_case_and_separators(wrong: str) -> None:
    assert did_you_mean(wrong, ["warmup", "lookback"]) == "did you mean lookback?"
    assert did_you_mean("xyzzy", ["warmup", "lookback"]) == ""


def test_printable_lines_keep_breaks_and_tabs_only() -> None:
    assert printable_lines("a\n\tb\x1b[2J\u202e\x9b\u2028c\r\n") == "a\n\tb[2J c \n"
    assert printable_lines("plain") == "plain"


def test_console_prints_names_without_what_a_terminal_acts_on() -> None:
    console = PrintableConsole()
    with console.capture() as captured:
        console.print("a\x1b]8;;x\x07b\u202ec :smile:")
    assert captured.get() == "a]8;;xbc :smile:\n"
