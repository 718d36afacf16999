"""A request is rendered from the prompts that were in force when it was made, whichever worker answers it."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event

import msgspec
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from autohedge import config
from autohedge.app import engine_for, venue_for
from autohedge.core.errors import Unavailable
from autohedge.core.events import AnyEvent, DeliberationRequested, JournalEntry, PromptsChanged
from autohedge.core.snapshots import Snapshot
from autohedge.graph.prompt_builder import PromptFiles
from autohedge.graph.runner import DeliberationResult
from autohedge.graph.runtime import WorkerRuntime
from autohedge.graph.worker import (
    Answer,
    PromptsUpdated,
    Question,
    Worker,
    WorkerInit,
    frame,
    read_frame,
    run_worker,
)
from autohedge.prompts import builtin_path, parse
from autohedge.runtime.virtual import VirtualRuntime
from tests.graph.fake_worker import FakeWorker, launching
from tests.run_harness import quotes_tape, settings
from tests.snapshot_factory import rows
from tests.snapshot_factory import snapshot as shown

WANTED = settings(trading__mode="hybrid", llm__provider='"rules"')
STEPS = st.one_of(
    st.tuples(st.just("ask"), st.integers(0, 2)),
    st.tuples(st.sampled_from(["edit", "freeze", "wake", "kill", "turn"]), st.just(0)),
)


class Played:
    """The run's side of the socket, driven step by step, with the answers."""

    def __init__(self) -> None:
        self.workers: list[FakeWorker] = []
        self.awake = Event()
        self.awake.set()
        self.in_force = "first"
        self.prompt_by_number: dict[int, str] = {}
        self.answers: dict[int, str] = {}
        self.done = asyncio.Event()
        launch, prompt_files = (
            launching(self.workers, self.awake),
            PromptFiles({"director": ("first", "")}, ""),
        )
        self.worker = Worker(WANTED, prompt_files, launch, pauses_s=(0.0,))

    def on_result(
        self, question: DeliberationRequested, snapshot: Snapshot, result: DeliberationResult
    ) -> None:
        self.answers[question.number] = result.code
        if not self.worker.waiting:
            self.done.set()

    async def step(self, what: str, symbol: int) -> None:
        match what:
            case "ask":
                number = len(self.prompt_by_number) + 1
                self.prompt_by_number[number] = self.in_force
                shot = shown(number=number, symbol=f"S{symbol}")
                self.worker.request(DeliberationRequested(0, number, "gate", f"S{symbol}", shot.hash), shot)
            case "edit":
                self.in_force = f"after {len(self.prompt_by_number)}"
                self.worker.update_prompts({"director": (self.in_force, "")})
            case "freeze":
                self.awake.clear()
            case "wake":
                self.awake.set()
            case "kill":
                self.workers[-1].kill()
            case _:
                for _ in range(3):
                    await asyncio.get_running_loop().run_in_executor(None, lambda: None)

    async def play(self, steps: Sequence[tuple[str, int]]) -> None:
        serving = asyncio.ensure_future(self.worker.serve(self.on_result))
        for step in steps:
            await self.step(*step)
        self.awake.set()
        self.done.clear()
        if self.worker.waiting:
            await self.done.wait()
        serving.cancel()
        await asyncio.wait([serving])


@given(st.lists(STEPS, max_size=30))
@hypothesis_settings(max_examples=150, deadline=None)
def test_interleaved_edits_and_deaths_answer_with_prompts_in_force(steps: list[tuple[str, int]]) -> None:
    async def played() -> Played:
        run = Played()
        with contextlib.closing(run.worker):
            await run.play(steps)
        return run

    run = asyncio.run(played())
    died = any(what == "kill" for what, _ in steps)
    for number, answer in run.answers.items():
        assert answer == run.prompt_by_number[number] or (died and answer == "worker_died")
    newest = {symbol for what, symbol in steps if what == "ask"}
    assert len(run.answers) >= len(newest)


def _texts(*versions: int) -> list[dict[str, tuple[str, str]]]:
    prompts = PromptFiles.of(WANTED).prompts
    return [
        {
            name: (text.replace("version: 1", f"version: {version}"), origin)
            for name, (text, origin) in prompts.items()
        }
        for version in versions
    ]


def _hash(prompts: dict[str, tuple[str, str]], agent: str) -> str:
    return parse(agent, *prompts[agent]).hash


def test_worker_answers_each_question_with_prompts_sent_before_it(workplace: Path) -> None:
    first, second = _texts(1, 2)
    shots = [shown(rows([100.0 + 0.1 * n for n in range(50)]), number=number) for number in (1, 2, 3)]
    questions = [Question(DeliberationRequested(0, s.number, "gate", s.symbol, s.hash), s, ()) for s in shots]

    async def answers() -> dict[int, DeliberationResult]:
        ours, theirs = socket.socketpair()
        with theirs:
            working = asyncio.ensure_future(run_worker(theirs))
            reader, writer = await asyncio.open_unix_connection(sock=ours)
            writer.write(frame(WorkerInit(config.to_plain(WANTED), PromptFiles(first, ""))))
            assert await read_frame(reader)
            messages = [
                questions[0],
                PromptsUpdated(second),
                questions[1],
                PromptsUpdated(first),
                questions[2],
            ]
            writer.write(b"".join(map(frame, messages)))
            found = {}
            for _ in questions:
                body = await read_frame(reader)
                assert body
                answer = msgspec.msgpack.decode(body, type=Answer)
                found[answer.number] = answer.result
            writer.close()
            await working
        return found

    hashes = {number: found.calls[0].request.prompt_hash for number, found in asyncio.run(answers()).items()}
    one, two = _hash(first, "director"), _hash(second, "director")
    assert one != two
    assert hashes == {1: one, 2: two, 3: one}


def test_worker_runtime_records_valid_edit_and_reports_refused_edit(workplace: Path) -> None:
    """Polls twice for each edit, since a file must be unchanged between two polls."""
    stored: list[bytes] = []
    changes: list[PromptsChanged] = []
    notices: list[str] = []
    disk_is_full = False

    def store(content: bytes, suffix: str) -> str:
        if disk_is_full:
            raise Unavailable("no room; make room")
        stored.append(content)
        return f"{len(stored)}{suffix}"

    def inject(event: Callable[[int], AnyEvent]) -> None:
        change = event(7)
        assert (
            isinstance(change, PromptsChanged) and runtime.worker.sources.prompts["director"][0] != new_text
        )
        changes.append(change)
        runtime.apply_prompts(change)

    def saved(text: str) -> str:
        path.write_text(text)
        for _ in range(3):
            runtime.poll_prompts(store, inject, notices.append)
        return text

    path, text = Path("prompts", "director.md"), builtin_path("director").read_text()
    path.parent.mkdir()
    with contextlib.closing(WorkerRuntime(WANTED, PromptFiles.of(WANTED))) as runtime:
        new_text = text + "One.\n"
        saved(new_text)
        assert changes == [PromptsChanged(7, {"director": "1.md"})]
        assert runtime.worker.sources.prompts["director"] == (new_text, str(path)) and stored == [
            new_text.encode()
        ]
        saved("{broken")
        assert notices == [f"[AGENT] {path}, line 1: {notices[0].partition('line 1: ')[2]}"]
        disk_is_full = True
        new_text = text + "Two or more.\n"
        saved(new_text)
        assert notices[1:] == ["[AGENT] no room; make room; prompts stay as they were, save again"]
        assert len(changes) == 1
        disk_is_full = False
        new_text = text + "Three, and even more.\n"
        saved(new_text)
        assert len(changes) == 2 and len(notices) == 2
        assert runtime.worker.sources.prompts["director"][0] == new_text


def test_prompt_change_is_recorded_first_and_leaves_engine_unchanged() -> None:
    tape = quotes_tape([(10**18 + second, 99.0, 101.0) for second in range(9)])
    happened: list[AnyEvent | str] = []

    class EventRecorder(list[JournalEntry]):
        def append(self, entry: JournalEntry) -> None:
            happened.append(entry.event)

    engine = engine_for(WANTED, tape)
    venue = venue_for(WANTED, tape, "n")
    runtime = VirtualRuntime(engine, venue, tape.rows, EventRecorder(), clock=venue)
    runtime.on_prompts = lambda changed: happened.append("changed")
    runtime.begin("n")
    runtime.advance(10**18 + 3)
    before, result = len(happened), engine.result()
    change = PromptsChanged(10**18 + 3, {"director": "ab.md"})
    runtime.inject(change)
    assert happened[before:] == [change, "changed"]
    assert engine.result() == result
