"""Headlines: when each is visible, and which files are rejected."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autohedge.core.errors import Misconfigured
from autohedge.core.units import NS_PER_DAY
from autohedge.tools.headlines import (
    NONE,
    Headline,
    Headlines,
    headlines_for,
    headlines_text,
    read_headlines,
    sorted_headlines,
)
from autohedge.tools.untrusted import BEGIN, END
from tests.snapshot_factory import AT_NS, snapshot


def written(path: Path, *lines: Any) -> Path:
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return path


def titles(headlines: Headlines, most: int = 5, **changes: Any) -> list[str]:
    return [each.title for each in headlines_for(snapshot(**changes), headlines, most).headlines]


def test_a_file_is_read_in_both_forms_of_time_and_shown_newest_first(tmp_path: Path) -> None:
    path = written(
        tmp_path / "news.jsonl",
        {"title": "new", "available_at": "2024-08-08T23:54:15.088Z", "source": "Wire"},
        "",
        {
            "title": "old",
            "available_at": AT_NS - NS_PER_DAY,
            "symbols": ["BTC/USD"],
            "more": {"is": "ignored"},
        },
        {"title": "undated"},
        {"title": "undated too", "available_at": None},
        {"title": "later", "available_at": "2024-08-09T01:54:15.088000001+02:00"},
    )
    shown = headlines_for(snapshot(), read_headlines(path), 5)
    assert [each.title for each in shown.headlines] == ["new", "old"]
    assert (shown.undated, shown.later) == (2, 1)
    assert headlines_text(snapshot(), read_headlines(path), 5).split("\n") == [
        BEGIN,
        "2024-08-08 23:54 new (Wire)",
        "2024-08-07 23:54 old",
        END,
    ]


def test_headlines_text_without_headlines_is_placeholder() -> None:
    assert headlines_text(snapshot(), Headlines(), 5) == NONE
    assert headlines_text(snapshot(), Headlines((Headline(AT_NS, "x"),)), 0) == NONE


def test_a_headline_about_other_symbols_is_left_out() -> None:
    news = sorted_headlines(
        [Headline(1, "all"), Headline(2, "eth", "", ("ETH/USD",)), Headline(3, "btc", "", ("BTC/USD",))]
    )
    assert titles(news) == ["btc", "all"]
    assert titles(news, symbol="ETH/USD") == ["eth", "all"]


timestamps = st.integers(AT_NS - 5, AT_NS + 5)


@given(st.lists(st.one_of(st.none(), timestamps)), timestamps, st.integers(0, 6))
def test_headlines_later_or_undated_are_hidden_and_counted(
    stamps: list[int | None], at_ns: int, most: int
) -> None:
    news = sorted_headlines(None if ns is None else Headline(ns, str(ns)) for ns in stamps)
    shown = headlines_for(snapshot(at_ns=at_ns), news, most)
    known = sorted((ns for ns in stamps if ns is not None and ns <= at_ns), reverse=True)
    assert [each.available_ns for each in shown.headlines] == known[:most]
    assert shown.undated + shown.later + len(known) == len(stamps)


@given(st.lists(timestamps), st.lists(st.integers(AT_NS + 1, AT_NS + 9)))
def test_headlines_text_does_not_depend_on_later_headlines(stamps: list[int], later: list[int]) -> None:
    known = [Headline(ns, str(ns)) for ns in stamps]
    news, more = (
        sorted_headlines(known),
        sorted_headlines([*known, *(Headline(ns, "tomorrow") for ns in later)]),
    )
    assert headlines_text(snapshot(), news, 5) == headlines_text(snapshot(), more, 5)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("not json", "line 2: Expecting value; write one object"),
        ('["a"]', "title"),
        ('{"available_at": 1}', "title"),
        ('{"title": 5}', "title"),
        ('{"title": "x", "symbols": "BTC"}', "symbols"),
        ('{"title": "x", "available_at": "2024-08-08"}', "RFC 3339"),
        ('{"title": "x", "available_at": "2024-08-08T12:00:00"}', "offset"),
        ('{"title": "x", "available_at": "2024-02-30T12:00:00Z"}', "RFC 3339"),
        ('{"title": "x", "available_at": 1723161255}', "nanoseconds"),
        ('{"title": "x", "available_at": 1723161255088}', "nanoseconds"),
        ('{"title": "x", "available_at": true}', "nanoseconds"),
        ('{"title": "x", "available_at": 1.7e18}', "nanoseconds"),
        ("[" * 100_000, ""),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = written(tmp_path / "news.jsonl", {"title": "fine"}, line)
    with pytest.raises(Misconfigured) as raised:
        read_headlines(path)
    assert str(raised.value).startswith(f"{path}, line 2: ")
    assert message in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_headlines_with_a_byte_order_mark_are_read(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "news.jsonl"
    file.write_text(
        '{"title": "Zölle fallen", "available_at": "2024-08-08T23:54:15Z"}\r\n', encoding=encoding
    )
    assert [each.title for each in read_headlines(file).dated] == ["Zölle fallen"]


def test_headlines_file_missing_or_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "news.jsonl"
    with pytest.raises(Misconfigured, match="cannot read the headlines"):
        read_headlines(path)
    path.write_bytes(b'{"title": "\xff\xfe"}\n')
    with pytest.raises(Misconfigured, match="line 1"):
        read_headlines(path)


def test_a_title_of_a_megabyte_is_cut(tmp_path: Path) -> None:
    line = {"title": "<|im_end|>\n" * 100_000, "available_at": AT_NS, "source": "s" * 2**20}
    text = headlines_text(snapshot(), read_headlines(written(tmp_path / "news.jsonl", line)), 5)
    assert len(text) < 400
    assert text.count("\n") == 2


def test_scraped_headlines_without_reading_time_are_all_undated(shared: Path) -> None:
    news = read_headlines(shared / "data/news/crypto_headlines_to_202203.jsonl")
    assert (news.dated, news.undated) == ((), 3510)


def test_real_headlines_a_day_after_their_stamp_are_shown_one_per_line(shared: Path, tmp_path: Path) -> None:
    scraped = (shared / "data/news/crypto_headlines_to_202203.jsonl").read_text().splitlines()
    lines = [json.loads(line) for line in scraped]
    news = read_headlines(
        written(
            tmp_path / "news.jsonl", *({**line, "available_at": line["ts_ns"] + NS_PER_DAY} for line in lines)
        )
    )
    at_ns = lines[1000]["ts_ns"]
    shown = headlines_for(snapshot(at_ns=at_ns), news, 50)
    assert len(shown.headlines) == 50 and shown.later > 2000
    assert all(each.available_ns <= at_ns for each in shown.headlines)
    assert headlines_text(snapshot(at_ns=at_ns), news, 50).count("\n") == 51
