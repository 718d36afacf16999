"""Tests that the page has the whole audit, loads nothing, and runs no text of models or headlines."""

import re
from base64 import b64encode
from collections import Counter
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import numpy as np

from autohedge.audit import Audit, AuditFilter, audit, write_page
from autohedge.audit import text as text_of
from autohedge.audit.chart import MARKER_COLUMNS, WIDTH, Axes, Marker, price_chart, strip
from autohedge.audit.conversations import Conversation
from autohedge.audit.page import STYLE, page
from autohedge.audit.prices import POINTS_MAX, downsampled, price_lines
from autohedge.core.orders import BUY, SELL
from autohedge.journal import RunFolder
from tests.audit.run_factory import HOSTILE, scripted, yes

ALL = AuditFilter(last=10_000, whole=10_000)
VOID = {"meta", "img", "br", "link", "input", "rect", "path"}


class Opened(HTMLParser):
    """Parses a page as a browser would: its tags, attributes and texts, and whether every tag is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.style = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["style"]:
            self.style += data
        else:
            self.text += data

    def classes(self, tag: str) -> list[str]:
        """Returns the class attributes of all tags of a name."""
        return [value for name, attribute, value in self.attributes if (name, attribute) == (tag, "class")]

    def values(self, *names: str) -> set[str]:
        return {value for _, name, value in self.attributes if name in names}


def hostile_run(place: Path) -> RunFolder:
    answers = [yes(thesis=HOSTILE), f"{HOSTILE} no json at all", HOSTILE]
    return scripted(place / "said.jsonl", answers, 'synthetic.symbols=["BTC/USD"]')


def test_page_of_hostile_answers_shows_them_as_inert_text(workplace: Path) -> None:
    text = "".join(page(audit(hostile_run(workplace), ALL)))
    opened = Opened(text)
    assert {"script", "img", "link", "iframe", "object", "base", "form"}.isdisjoint(opened.tags)
    assert opened.text.count("<script>alert(1)</script>") >= 3
    assert "\\x1b[2J" in opened.text and "\\u202e" in opened.text
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
    assert opened.open == []


def test_page_has_no_external_references_and_forbids_loading(run: RunFolder) -> None:
    opened = Opened("".join(page(audit(run, ALL))))
    assert all(href.startswith("#") for href in opened.values("href"))
    assert opened.values("src", "srcset", "action", "style", "onclick", "xlink:href", "background") == set()
    assert not any(name.startswith("on") for _, name, _ in opened.attributes)
    assert "url(" not in opened.style and "@import" not in opened.style
    policy = next(value for value in opened.values("content") if "default-src" in value)
    digest = b64encode(sha256(opened.style.encode()).digest()).decode()
    assert "default-src 'none'" in policy and f"style-src 'sha256-{digest}'" in policy
    assert "prefers-color-scheme" in opened.style


def test_every_link_leads_to_a_conversation_of_the_page(run: RunFolder) -> None:
    found = audit(run, ALL)
    opened = Opened("".join(page(found)))
    anchors = {f"#{name}" for name in opened.values("id")}
    assert opened.values("href") <= anchors
    assert {f"#q{each.number}" for each in found.conversations} <= anchors
    assert (
        opened.classes("svg").count("strip") == opened.classes("svg").count("price") == len(found.gates) == 3
    )


def test_page_of_many_questions_has_full_text_of_newest_only(run: RunFolder) -> None:
    found = audit(run, AuditFilter(last=10_000, whole=5))
    opened = Opened("".join(page(found)))
    numbers = [each.number for each in found.conversations]
    assert [name for name in sorted(opened.values("id")) if name[0] == "q"] == [f"q{n}" for n in numbers[-5:]]
    assert "The last 5 have their conversations." in opened.text
    assert f"autohedge audit {run.id} --number {numbers[0]}" in opened.text
    assert opened.classes("details").count("row") == len(numbers)


def test_a_page_is_written_with_its_sums_and_round_trips(run: RunFolder, tmp_path: Path) -> None:
    found = audit(run, ALL)
    write_page(found, tmp_path / "a.html")
    text = Opened((tmp_path / "a.html").read_text(encoding="utf-8")).text
    assert f"Questions{found.stats.asked}" in text and found.head in text
    assert all(name.removesuffix(" sure") in text for name in found.groups) and "round trip" in text
    assert "Most of the time" in text


def test_page_truncates_oversized_answer_with_notice(run: RunFolder) -> None:
    found = audit(run, AuditFilter(last=1))
    call = found.conversations[0].calls[0]
    assert call.response
    response = msgspec.structs.replace(call.response, text="x" * 100_000)
    found.conversations[0].calls[0] = msgspec.structs.replace(call, response=response)
    assert "83,616 more characters are in the transcript" in "".join(page(found))


def test_gate_strip_is_bounded_and_shows_lasting_states() -> None:
    busy = strip([(at, ("open", "closed")[at % 2]) for at in range(100_000)], "closed", 0, 100_000, "gate")
    assert busy.count("<rect") <= WIDTH and len(busy) < 100 * WIDTH
    calm = strip([(50, "open"), (75, "closed")], "closed", 0, 100, "gate")
    assert re.findall(r'class="(\w+)" x="(\d+)" y="0" width="(\d+)"', calm) == [
        ("closed", "0", "360"),
        ("open", "360", "180"),
        ("closed", "540", "180"),
    ]


def entry(found: Audit) -> Conversation:
    """Returns the last conversation whose entry was filled and sold again."""
    return next(each for each in reversed(found.conversations) if any(trip.closed_ns for trip in each.trips))


def part_of(text: str, number: int) -> tuple[str, str]:
    """Returns the row of a question, and what it opens to."""
    row, body = re.split(rf'<div class="body" id="q{number}">', text)
    return row.rpartition("<summary class='cells'>")[2], body.partition("<details class='row'>")[0]


def test_row_has_short_order_id_and_its_body_the_whole_one(by_rules: RunFolder) -> None:
    found = audit(by_rules, ALL)
    sent = next(each for each in found.conversations if each.sent and each.trips)
    row, body = part_of("".join(page(found)), sent.number)
    assert sent.sent and len(sent.sent.order_id) == 32
    assert f"order {sent.sent.order_id[:8]}</span>" in row and sent.sent.order_id not in row
    assert body.count(sent.sent.order_id) == 1


def test_raw_answer_is_folded_only_if_it_equals_the_parsed_one(run: RunFolder) -> None:
    found = audit(run, ALL)
    conversation = entry(found)
    folded = "<details><summary>Raw answer</summary>"
    body = part_of("".join(page(found)), conversation.number)[1]
    assert body.count(folded) == 1 and body.count("<details open><summary>Answer</summary>") == 1
    call = conversation.calls[0]
    assert call.response
    response = msgspec.structs.replace(call.response, text=f"Sure!\n```json\n{call.response.text}\n```")
    conversation.calls[0] = msgspec.structs.replace(call, response=response, parse="fenced")
    body = part_of("".join(page(found)), conversation.number)[1]
    assert folded not in body and "<details open><summary>Raw answer</summary>" in body
    assert "<details open><summary>Parsed (fenced)</summary>" in body


def test_prompts_without_requests_are_not_listed(run: RunFolder) -> None:
    found = audit(run, ALL)
    used = {name for name, number in found.requests.items() if number}
    unused = {prompt.hash for prompt in found.prompts} - used
    text = "".join(page(found))
    assert {prompt.name for prompt in found.prompts if prompt.hash in used} == {"director", "learning"}
    assert len(unused) == 3 and not any(each in text for each in unused)
    assert all(each in text for each in used)
    assert sum(found.requests.values()) == found.call_stats.calls


def test_chart_has_the_tape_and_a_marker_for_every_fill(run: RunFolder) -> None:
    found = audit(run, ALL)
    opened = Opened("".join(page(found)))
    fills = Counter(
        order.side
        for each in found.conversations
        for trip in each.trips
        for order in trip.orders
        for _ in order.fills
    )
    shapes = Counter(each.split()[0] for each in opened.classes("path"))
    # Fills of the same kind and time share a marker; the key above the charts has one entry and two exits.
    assert 1 < shapes["entry"] <= fills[BUY] + 1 and 2 < shapes["exit"] <= fills[SELL] + 2
    lines = [value for _, name, value in opened.attributes if name == "d" and "L" in value]
    assert len(lines) == 3 and all(100 < line.count("L") < POINTS_MAX for line in lines)
    labels = opened.values("aria-labelledby")
    assert len(labels) == 3 and {name for each in labels for name in each.split()} <= opened.values("id")
    assert "the tape is not available" not in opened.text


def test_chart_without_tape_uses_snapshots_and_fills(run: RunFolder) -> None:
    found = audit(run, ALL)
    found.tape = [{**origin, "content_hash": "0" * 64} for origin in found.tape]
    lines = price_lines(found, found.symbols)
    assert all(line.points and not line.from_tape for line in lines.values())
    text = "".join(page(found))
    assert text.count("from snapshots and fills: the tape is not available") >= 3


def test_downsampling_keeps_order_ends_and_extremes() -> None:
    times = np.arange(100_000)
    prices = 100 + np.sin(times / 700)
    prices[54_321], prices[777] = 250.0, 3.0
    points = downsampled(times, prices)
    assert len(points) <= POINTS_MAX and points == sorted(points)
    assert {250.0, 3.0} <= {price for _, price in points}
    assert points[0][0] < 400 and points[-1][0] > 99_600
    assert len(downsampled(times[:50], prices[:50])) == 50


def test_markers_of_many_fills_are_bounded() -> None:
    markers = [Marker(at, 100.0, "entry", "buy <b>") for at in range(5_000)]
    text = price_chart("c", Axes.around([99.0, 101.0], 0, 5_000), [], markers, "BTC <b>", "flat")
    assert text.count('class="marker"') <= MARKER_COLUMNS + 1 and "<b>" not in text
    assert "buy &lt;b&gt; and 12 more" in text


def test_rows_have_bounded_height_on_a_narrow_window(run: RunFolder) -> None:
    """At 390 px a closed row is at most two lines of figures and nine of reasons: under 260 px."""
    narrow = STYLE.partition("@media (max-width: 60rem)")[2]
    assert re.search(r"\.row:not\(\[open\]\) \.gist \{ max-height: 10\.125rem; overflow: hidden; \}", narrow)
    assert re.search(r"\.row:not\(\[open\]\) \.gist > span \{ -webkit-line-clamp: 2; \}", narrow)
    opened = Opened("".join(page(audit(run, ALL))))
    assert opened.classes("summary").count("cells") == opened.classes("details").count("row")
    assert "width=device-width" in " ".join(opened.values("content"))


def test_reasons_of_a_row_never_repeat_each_other(run: RunFolder, by_rules: RunFolder) -> None:
    for folder in (run, by_rules):
        for each in audit(folder, ALL).conversations:
            lines = text_of.gist(each)
            assert len(set(lines)) == len(lines)
            assert not (each.decision and each.decision.code and each.decision.code in " ".join(lines[2:]))
