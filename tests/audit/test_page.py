"""The page holds everything, loads nothing, and runs nothing of what models and headlines wrote."""

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import msgspec

from autohedge.audit import AuditFilter, audit, write_page
from autohedge.audit.chart import WIDTH, strip
from autohedge.audit.page import page
from autohedge.journal import RunFolder
from tests.audit.run_factory import HOSTILE, scripted, yes

ALL = AuditFilter(last=10_000, whole=10_000)
VOID = {"meta", "img", "br", "link", "input", "rect"}


class Opened(HTMLParser):
    """What a browser would make of a page: its tags, attributes, texts, and whether all is closed."""

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
    assert opened.tags.count("svg") == len(found.gates) == 3


def test_page_of_many_questions_has_full_text_of_newest_only(run: RunFolder) -> None:
    found = audit(run, AuditFilter(last=10_000, whole=5))
    opened = Opened("".join(page(found)))
    numbers = [each.number for each in found.conversations]
    assert [name for name in sorted(opened.values("id")) if name[0] == "q"] == [f"q{n}" for n in numbers[-5:]]
    assert "Whole are the last 5 only" in opened.text
    assert opened.tags.count("tr") > len(numbers)


def test_a_page_is_written_with_its_sums_and_round_trips(run: RunFolder, tmp_path: Path) -> None:
    found = audit(run, ALL)
    write_page(found, tmp_path / "a.html")
    text = Opened((tmp_path / "a.html").read_text(encoding="utf-8")).text
    assert f"{found.stats.asked} questions" in text and found.head in text
    assert all(name in text for name in found.groups) and "round trip" in text
    assert "Most of the time" in text


def test_page_truncates_oversized_answer_with_notice(run: RunFolder) -> None:
    found = audit(run, AuditFilter(last=1))
    call = found.conversations[0].calls[0]
    assert call.response
    response = msgspec.structs.replace(call.response, text="x" * 100_000)
    found.conversations[0].calls[0] = msgspec.structs.replace(call, response=response)
    assert "83,616 more characters stand in the transcript" in "".join(page(found))


def test_gate_strip_is_bounded_and_shows_lasting_states() -> None:
    busy = strip([(at, ("open", "closed")[at % 2]) for at in range(100_000)], "closed", 0, 100_000)
    assert busy.count("<rect") <= WIDTH and len(busy) < 100 * WIDTH
    calm = strip([(50, "open"), (75, "closed")], "closed", 0, 100)
    assert re.findall(r'class="(\w+)" x="(\d+)" y="0" width="(\d+)"', calm) == [
        ("closed", "0", "360"),
        ("open", "360", "180"),
        ("closed", "540", "180"),
    ]
