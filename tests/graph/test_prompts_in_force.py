"""A question is rendered from the prompts that were in force when it was asked, whoever answers it, and when."""

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
from autohedge.core.events import AnyEvent, Deliberate, Entry, PromptsChanged
from autohedge.core.snapshots import Snapshot
from autohedge.engine.virtual import VirtualRuntime
from autohedge.graph.deliberator import Resolution
from autohedge.graph.materials import Sources
from autohedge.graph.plane import WorkerPlane
from autohedge.graph.worker import Answer, Edited, Orders, Question, Worker, frame, read_frame, work
from autohedge.prompts import packaged_file, parse
from tests.graph.fake_worker import FakeWorker, launching
from tests.showing import rows
from tests.showing import snapshot as shown
from tests.support import quotes_tape, settings

WANTED = settings(trading__mode="hybrid", llm__provider='"rules"')
STEPS = st.one_of(
    st.tuples(st.just("ask"), st.integers(0, 2)),
    st.tuples(st.sampled_from(["edit", "freeze", "wake", "kill", "turn"]), st.just(0)),
)


class Played:
    """A run's end of the pipe, driven step by step, with what is answered."""

    def __init__(self) -> None:
        self.workers: list[FakeWorker] = []
        self.awake = Event()
        self.awake.set()
        self.in_force = "first"
        self.asked: dict[int, str] = {}
        self.answers: dict[int, str] = {}
        self.done = asyncio.Event()
        launch, sources = launching(self.workers, self.awake), Sources({"director": ("first", "")}, "")
        self.worker = Worker(WANTED, sources, launch, pauses_s=(0.0,))

    def take(self, question: Deliberate, snapshot: Snapshot, resolution: Resolution) -> None:
        self.answers[question.number] = resolution.code
        if not self.worker.waiting:
            self.done.set()

    async def step(self, what: str, symbol: int) -> None:
        match what:
            case "ask":
                number = len(self.asked) + 1
                self.asked[number] = self.in_force
                shot = shown(number=number, symbol=f"S{symbol}")
                self.worker.ask(Deliberate(0, number, "gate", f"S{symbol}", shot.hash), shot)
            case "edit":
                self.in_force = f"after {len(self.asked)}"
                self.worker.edit({"director": (self.in_force, "")})
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
        serving = asyncio.ensure_future(self.worker.serve(self.take))
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
def test_any_interleaving_of_edits_questions_and_deaths(steps: list[tuple[str, int]]) -> None:
    async def played() -> Played:
        run = Played()
        with contextlib.closing(run.worker):
            await run.play(steps)
        return run

    run = asyncio.run(played())
    died = any(what == "kill" for what, _ in steps)
    for number, answer in run.answers.items():
        assert answer == run.asked[number] or (died and answer == "worker_died")
    newest = {symbol for what, symbol in steps if what == "ask"}
    assert len(run.answers) >= len(newest)


def _texts(*versions: int) -> list[dict[str, tuple[str, str]]]:
    prompts = Sources.of(WANTED).prompts
    return [
        {
            name: (text.replace("version: 1", f"version: {version}"), origin)
            for name, (text, origin) in prompts.items()
        }
        for version in versions
    ]


def _hash(prompts: dict[str, tuple[str, str]], agent: str) -> str:
    return parse(agent, *prompts[agent]).hash


def test_a_worker_keeps_a_deliberation_to_the_prompts_it_was_asked_with(workplace: Path) -> None:
    first, second = _texts(1, 2)
    shots = [shown(rows([100.0 + 0.1 * n for n in range(50)]), number=number) for number in (1, 2, 3)]
    questions = [Question(Deliberate(0, s.number, "gate", s.symbol, s.hash), s, ()) for s in shots]

    async def answers() -> dict[int, Resolution]:
        ours, theirs = socket.socketpair()
        with theirs:
            working = asyncio.ensure_future(work(theirs))
            reader, writer = await asyncio.open_unix_connection(sock=ours)
            writer.write(frame(Orders(config.resolved(WANTED), Sources(first, ""))))
            assert await read_frame(reader)
            told = [questions[0], Edited(second), questions[1], Edited(first), questions[2]]
            writer.write(b"".join(map(frame, told)))
            found = {}
            for _ in questions:
                body = await read_frame(reader)
                assert body
                answer = msgspec.msgpack.decode(body, type=Answer)
                found[answer.number] = answer.resolution
            writer.close()
            await working
        return found

    hashes = {number: found.calls[0].request.prompt_hash for number, found in asyncio.run(answers()).items()}
    one, two = _hash(first, "director"), _hash(second, "director")
    assert one != two
    assert hashes == {1: one, 2: two, 3: one}


def test_a_plane_stores_and_records_an_edit_and_says_why_it_does_not(workplace: Path) -> None:
    """Two looks each: a file must have stayed as it is."""
    kept: list[bytes] = []
    heard: list[PromptsChanged] = []
    told: list[str] = []
    disk_is_full = False

    def keep(content: bytes, suffix: str) -> str:
        if disk_is_full:
            raise Unavailable("no room; make room")
        kept.append(content)
        return f"{len(kept)}{suffix}"

    def hear(event: Callable[[int], AnyEvent]) -> None:
        change = event(7)
        assert isinstance(change, PromptsChanged) and plane.worker.sources.prompts["director"][0] != words
        heard.append(change)
        plane.change(change)

    def saved(text: str) -> str:
        path.write_text(text)
        for _ in range(3):
            plane.look(keep, hear, told.append)
        return text

    path, text = Path("prompts", "director.md"), packaged_file("director").read_text()
    path.parent.mkdir()
    with contextlib.closing(WorkerPlane(WANTED, Sources.of(WANTED))) as plane:
        words = text + "One.\n"
        saved(words)
        assert heard == [PromptsChanged(7, {"director": "1.md"})]
        assert plane.worker.sources.prompts["director"] == (words, str(path)) and kept == [words.encode()]
        saved("{broken")
        assert told == [f"[AGENT] {path}, line 1: {told[0].partition('line 1: ')[2]}"]
        disk_is_full = True
        words = text + "Two or more.\n"
        saved(words)
        assert told[1:] == ["[AGENT] no room; make room; prompts stay as they were, save again"]
        assert len(heard) == 1
        disk_is_full = False
        words = text + "Three, and even more.\n"
        saved(words)
        assert len(heard) == 2 and len(told) == 2
        assert plane.worker.sources.prompts["director"][0] == words


def test_a_change_is_recorded_before_it_counts_and_is_no_business_of_the_engine() -> None:
    tape = quotes_tape([(10**18 + second, 99.0, 101.0) for second in range(9)])
    happened: list[AnyEvent | str] = []

    class Told(list[Entry]):
        def append(self, entry: Entry) -> None:
            happened.append(entry.event)

    engine = engine_for(WANTED, tape)
    runtime = VirtualRuntime(engine, venue_for(WANTED, tape, "n"), tape.rows, Told())
    runtime.on_prompts = lambda changed: happened.append("changed")
    runtime.begin("n")
    runtime.advance(10**18 + 3)
    before, result = len(happened), engine.result()
    change = PromptsChanged(10**18 + 3, {"director": "ab.md"})
    runtime.take(change)
    assert happened[before:] == [change, "changed"]
    assert engine.result() == result
