"""CSV as spreadsheets and exchanges write it: what is read, and what a refusal says."""

import gzip
import zipfile
from pathlib import Path

import numpy as np
import pytest

from autohedge.core.errors import Misconfigured
from autohedge.market import Tape, TapeSource, csv_reader, open_tape
from autohedge.market.sources import interval_of, symbol_of

T0, T1 = 1_700_000_000_000_000_000, 1_700_000_001_500_000_000
PLAIN = f"ts_ns,bid,ask\n{T0},1234.5,1235.5\n{T1},1236.5,1237.5\n"


def opened(path: Path, text: str | bytes, encoding: str = "utf-8") -> Tape:
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return open_tape([TapeSource(path)])


def refusal(path: Path, text: str | bytes) -> str:
    with pytest.raises(Misconfigured) as caught:
        opened(path, text)
    message = str(caught.value)
    assert str(path) in message and message.isprintable()
    return message


def require_plain(tape: Tape) -> None:
    assert tape.rows.ts.tolist() == [T0, T1]
    assert (tape.rows.bid.tolist(), tape.rows.ask.tolist()) == ([1234.5, 1236.5], [1235.5, 1237.5])


@pytest.mark.parametrize(
    "text",
    [
        PLAIN.replace("ts_ns,bid,ask", "TS_NS, Bid , ASK"),
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace(",", " | "),
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        "\n\n" + PLAIN.replace("\n", "\n\n") + "  \n",
        "sep=;\n" + PLAIN.replace(",", ";"),
        f'"ts_ns","bid","ask"\n"{T0}","1,234.5","1,235.5"\n"{T1}","1,236.5","1,237.50"\n',
        f'ts_ns;bid;ask\n{T0};"1,234.5"; 1235.5\n{T1};1236.5 ;"1,237.5"\n',
        "ts_ns,bid,ask\n2023-11-14T22:13:20Z,1234.5,1235.5\n2023-11-14T22:13:21.5Z,1236.5,1237.5\n",
        f"ts_ns,bid,ask\n2023-11-15 00:13:20+02:00,1234.5,1235.5\n{T1},1236.5,1237.5\n",
        "ts_ns,bid,ask\n2023-11-14 22:13:20 UTC,1234.5,1235.5\n2023-11-14T17:13:21.500-0500,1236.5,1237.5\n",
    ],
)
def test_csv_of_one_meaning_is_read(tmp_path: Path, text: str) -> None:
    require_plain(opened(tmp_path / "a.csv", text))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32", "latin-1", "cp1252"])
def test_csv_in_another_encoding_is_read(tmp_path: Path, encoding: str) -> None:
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    header, *rows = PLAIN.split()
    text = "\n".join([f"{header},remarqué,symbol", *(f"{row},naïve,é" for row in rows)])
    require_plain(opened(tmp_path / "a.csv", mark + text, encoding))


def test_suffix_of_a_text_file_does_not_matter(tmp_path: Path) -> None:
    for name in ("a.tsv", "a.csv", "a.dat", "a"):
        require_plain(opened(tmp_path / name, PLAIN))


def test_packed_csv_is_read_under_the_name_of_its_content(tmp_path: Path) -> None:
    require_plain(opened(tmp_path / "a.csv.gz", gzip.compress(PLAIN.encode())))
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("__MACOSX/a.csv", "x")
        archive.writestr("readme.txt", "x")
        archive.writestr("data/a.csv", PLAIN.encode("utf-16"))
    require_plain(open_tape([TapeSource(path)]))
    assert symbol_of(Path("BTC_1m_bars.csv.gz")) == symbol_of(Path("BTC_1m_bars.zip")) == "BTC"
    assert interval_of(Path("BTC_1m_bars.csv.gz")) == 60 * 10**9


def test_late_values_of_another_form_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_reader, "BLOCK_ROWS", 3)
    times = T0 + np.arange(20)
    lines = [f"{ts},{row + 0.5},{row + 1.5}" for row, ts in enumerate(times)]
    lines[17] = f'{times[17]},"1,000.5"," 1,001.5"'
    rows = opened(tmp_path / "a.csv", "\n".join(["ts_ns,bid,ask", *lines])).rows
    assert rows.ts.tolist() == times.tolist()
    assert rows.bid.tolist() == [*(row + 0.5 for row in range(17)), 1000.5, 18.5, 19.5]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("1236.5", "n/a", "row 1, column bid: n/a is no number; mend it, or leave it empty"),
        ("1236.5", '"1.236,5"', "row 1, column bid: 1.236,5 has a comma within a number"),
        ("1236.5", '"12,36.5"', "row 1, column bid: 12,36.5 has a comma within a number"),
        ("1236.5", "1,236.5", "row 1 (line 3) has 4 values and the header 3 names; quote numbers"),
        ("1236.5", "\x1b[31m1\u202e", "row 1, column bid:"),
        (str(T1), "2023-11-14 22:13:21", "row 1, column ts_ns: 2023-11-14 22:13:21 has no time zone"),
        (str(T1), "2023-11-14", "has no time zone, such as Z for UTC; write integer nanoseconds since 1970"),
        (str(T1), "1.7E+18", "row 1, column ts_ns: 1.7E+18 is no time; write integer nanoseconds"),
        (str(T1), "14.11.2023 22:13", "is no time; write integer nanoseconds since 1970"),
        (str(T1), "2023-02-30T00:00:00Z", "is no time"),
        (str(T1), "", "ts_ns is missing at row 1"),
        ("bid,ask", "bid,ask,bid", "column bid is named twice"),
        ("bid,ask", "bid,ask, Ask ", "column ask is named twice"),
        ("ts_ns,bid,ask", "ts_ns,TS NS,bid,ask", "column ts_ns is named twice"),
        ("bid", "bud", "column bid is missing; found ts_ns, bud, ask"),
    ],
)
def test_refusal_names_row_column_and_cure(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert message in refusal(tmp_path / "a.csv", PLAIN.replace(old, new, 1))


@pytest.mark.parametrize("row", [f'{T0},"1,234","1,235"', f"{T0};1,234;1,235"])
def test_comma_of_two_meanings_is_refused(tmp_path: Path, row: str) -> None:
    separator = ";" if ";" in row else ","
    text = separator.join(["ts_ns", "bid", "ask"]) + f"\n{row}\n"
    assert "row 0, column bid: 1,234 has a comma within a number" in refusal(tmp_path / "a.csv", text)


def test_column_twice_that_is_not_used_is_ignored(tmp_path: Path) -> None:
    header, *rows = PLAIN.split()
    lines = [f"note,{header},note", *(f"x,{row},y" for row in rows)]
    require_plain(opened(tmp_path / "a.csv", "\n".join(lines)))


def _zip(*names: str) -> bytes:
    from io import BytesIO

    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, PLAIN)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (_zip("a.csv", "b.csv"), "is a ZIP archive of 2 files (a.csv, b.csv); unpack it and name one"),
        (_zip(), "is an empty ZIP archive"),
        (_zip("[Content_Types].xml", "xl/a.xml"), "Excel workbook or a similar document; save it as CSV"),
        (_zip("a.csv")[:60], "damaged ZIP archive"),
        (gzip.compress(PLAIN.encode())[:-20], "cannot be unpacked"),
        (gzip.compress(gzip.compress(PLAIN.encode())), "an archive within an archive"),
        (gzip.compress(b""), "empty"),
        (b"BZh91AY", "is a bzip2 archive; unpack it first"),
        (b"\xfd7zXZ\0\0", "is an xz archive"),
        (b"\x28\xb5\x2f\xfd\0\0", "is a Zstandard archive"),
        (b"\xff\xfet\0s\0_", "damaged text in utf-16"),
        (PLAIN.encode("utf-16-le"), "nor CSV in UTF-8"),
    ],
    ids=range(12),  # by number: an archive holds the time at which it was made
)
def test_other_formats_are_named_with_the_cure(tmp_path: Path, content: bytes, message: str) -> None:
    assert message in refusal(tmp_path / "a.csv", content)
