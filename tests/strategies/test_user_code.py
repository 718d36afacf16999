"""A user's own code: where its modules are found, what is kept of it, and how its failures read."""

import sys
from pathlib import Path

import pytest

from autohedge.app import engine_for
from autohedge.core.errors import Misconfigured
from autohedge.market import Tape
from autohedge.strategies.registry import sources_of, use_stored
from tests.run_harness import play, quotes_tape, settings

HEAD = "from autohedge.strategies import Kind, Signal, Strategy\n"


def _tape(rows: int = 20) -> Tape:
    return quotes_tape([(10**18 + n * 10**9, 100.0, 100.5) for n in range(rows)])


def _write(path: Path, body: str, head: str = HEAD) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(head + body)
    return f"{path}:Own"


def _error(name: str, **params: object) -> str:
    with pytest.raises(Misconfigured) as caught:
        play(
            settings(strategy__name=name, **{f"strategy__params__{key}": params[key] for key in params}),
            _tape(),
        )
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_exception_in_init_is_blamed_on_the_strategy_with_its_line(tmp_path: Path) -> None:
    body = "class Own(Strategy):\n    def __init__(self, depth=2):\n        [][depth]\n    def on_quote(self, q): ...\n"
    message = _error(_write(tmp_path / "own.py", body))
    assert (
        message
        == f"strategy Own failed in __init__: IndexError: list index out of range ({tmp_path}/own.py, line 4)"
    )


def test_exception_of_a_module_beside_the_strategy_names_its_line(tmp_path: Path) -> None:
    (tmp_path / "maths.py").write_text("\ndef half(x):\n    return x / 0\n")
    body = "import maths\nclass Own(Strategy):\n    def on_quote(self, q): maths.half(q.bid)\n"
    assert f"at row 0: ZeroDivisionError: float division by zero ({tmp_path}/maths.py, line 3)" in _error(
        _write(tmp_path / "own.py", body)
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise SystemExit(0)\n", "called sys.exit(0) while it was loaded"),
        ("class Own(Strategy):\n    def __init__(self): raise SystemExit\n    def on_quote(self, q): ...\n", "sys.exit() in __init__"),
        ("class Own(Strategy):\n    def on_quote(self, q): quit('enough')\n", "called sys.exit('enough') at row 0"),
        ("class Own(Strategy):\n    def on_quote(self, q): raise GeneratorExit('a\\n b')\n", "at row 0: GeneratorExit: a b ("),
        ("def f(:\n", "cannot be loaded: SyntaxError: invalid syntax ("),
    ],
)  # fmt: skip
def test_exit_and_odd_errors_of_a_strategy_fail_the_run(tmp_path: Path, body: str, message: str) -> None:
    found = _error(_write(tmp_path / "own.py", body))
    assert message in found
    assert f"own.py, line {2 if 'load' in found else 3}" in found


def test_error_whose_text_cannot_be_formatted_is_still_one_line(tmp_path: Path) -> None:
    body = (
        "class Odd(Exception):\n    def __str__(self): raise KeyError\n"
        "class Own(Strategy):\n    def on_quote(self, q): raise Odd\n"
    )
    assert "failed at row 0: Odd (" in _error(_write(tmp_path / "own.py", body))


def test_an_array_as_a_signal_is_refused_with_its_row(tmp_path: Path) -> None:
    body = "import numpy\nclass Own(Strategy):\n    def on_quote(self, q): return numpy.ones(900)\n"
    message = _error(_write(tmp_path / "own.py", body))
    assert "strategy Own at row 0 must return Signal.BUY, Signal.SELL or None, not array" in message
    assert len(message) < 200


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("def on_quotes(self, q): ...", "on_quotes is never called; rename it to on_quote"),
        ("def onQuote(self, q): ...", "onQuote is never called; rename it to on_quote"),
        ("def on_qute(self, q): ...", "on_qute is never called; rename it to on_quote"),
        ("def on_bar(self, b): ...", "defines on_bar, but it reads quotes; write reads = Kind.BARS"),
        ("def onBar(self, b): ...", "rename it to on_bar and write reads = Kind.BARS"),
        ("reads = Kind.BARS\n    def on_quote(self, q): ...", "reads bars; write reads = Kind.QUOTES"),
        ("reads = Kind.BARS\n    def on_baar(self, b): ...", "on_baar is never called; rename it to on_bar"),
        ("def evaluate(self, q): ...", "defines no on_quote; add the method"),
        (
            "reads = 'bars'\n    def on_bar(self, b): ...",
            "reads must be a Kind such as Kind.QUOTES, or a set of them, not 'bars'",
        ),
        ("async def on_quote(self, q): ...", "on_quote is async; write it without async"),
    ],
)
def test_class_without_its_method_is_refused_with_the_cure(tmp_path: Path, body: str, message: str) -> None:
    assert message in _error(_write(tmp_path / "own.py", f"class Own(Strategy):\n    {body}\n"))


def test_misspelt_override_of_an_inherited_method_is_named(tmp_path: Path) -> None:
    base = "class Base(Strategy):\n    def on_quote(self, q): ...\n"
    name = _write(tmp_path / "own.py", f"{base}class Own(Base):\n    def on_qoute(self, q): ...\n")
    assert "on_qoute is never called" in _error(name)
    name = _write(
        tmp_path / "own.py", f"{base}class Own(Base):\n    def quote(self): ...\n    def only(self): ...\n"
    )
    assert play(settings(strategy__name=name), _tape()).result.quotes == 20


def test_what_a_strategy_prints_goes_to_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = (
        "print('loading')\nclass Own(Strategy):\n    def __init__(self): print('ready')\n"
        "    def on_quote(self, q): print('seen')\n"
    )
    play(settings(strategy__name=_write(tmp_path / "own.py", body)), _tape(2))
    captured = capsys.readouterr()
    assert (captured.out, captured.err.split()) == ("", ["loading", "ready", "seen", "seen"])


def test_sources_of_all_imported_neighbours_are_kept(tmp_path: Path) -> None:
    (tmp_path / "box").mkdir()
    (tmp_path / "bare").mkdir()
    files = {
        "box/__init__.py": "from .inner import VALUE\n",
        "box/inner.py": "VALUE = 3\n",
        "bare/part.py": "HALF = 0.5\n",
        "lazy.py": "LATE = 1\n",
        "unused.py": "raise RuntimeError\n",
        "json.py": "raise RuntimeError\n",
    }
    for path, text in files.items():
        (tmp_path / path).write_text(text)
    body = (
        "import json\nimport box\nfrom bare import part\nclass Own(Strategy):\n    def on_quote(self, q):\n"
        "        import lazy\n        return Signal.BUY if box.VALUE + part.HALF + lazy.LATE == 4.5 else None\n"
    )
    wanted = settings(strategy__name=_write(tmp_path / "own.py", body))
    assert play(wanted, _tape()).result.buys == 1
    sources = sources_of(wanted)
    assert sources and sources.source == (HEAD + body).encode()
    kept = {path: content.decode() for path, content in sources.modules.items()}
    assert kept == {path: files[path] for path in files if path not in {"unused.py", "json.py"}}
    assert "bare" not in sys.path


def test_each_load_runs_the_files_of_its_own_folder(tmp_path: Path) -> None:
    body = "import level\nclass Own(Strategy):\n    def on_quote(self, q): return level.SIGNAL\n"
    for folder, signal, buys in (("one", "Signal.BUY", 1), ("two", "None", 0), ("one", "None", 0)):
        name = _write(tmp_path / folder / "own.py", body)
        _write(tmp_path / folder / "level.py", f"SIGNAL = {signal}\n")
        assert play(settings(strategy__name=name), _tape()).result.buys == buys


def test_stored_modules_replace_those_on_this_machine(tmp_path: Path) -> None:
    stored = _write(
        tmp_path / "a1.py", "import level\nclass Own(Strategy):\n    def on_quote(self, q): return level.S\n"
    )
    _write(tmp_path / "level.py", "S = None\n")
    kept = tmp_path / "b2.py"
    _write(kept, "S = Signal.BUY\n")
    use_stored(tmp_path / "a1.py", None, {"level.py": kept})
    assert play(settings(strategy__name=stored), _tape()).result.buys == 1


def test_a_module_name_is_found_from_the_working_directory(workplace: Path) -> None:
    _write(
        workplace / "mytrader/entry.py",
        "from .rule import RULE\nclass Own(Strategy):\n    def on_quote(self, q): return RULE\n",
    )
    _write(workplace / "mytrader/rule.py", "RULE = Signal.BUY\n")
    wanted = settings(strategy__name="mytrader.entry:Own")
    assert str(workplace) not in sys.path
    assert play(wanted, _tape()).result.buys == 1
    sources = sources_of(wanted)
    assert sources and sources.module == "mytrader.entry"
    assert set(sources.modules) == {"mytrader/entry.py", "mytrader/rule.py"}


def test_llm_mode_neither_runs_nor_keeps_a_strategy(tmp_path: Path) -> None:
    wanted = settings(strategy__name=f"{tmp_path}/absent.py:Own", trading__mode="llm")
    engine_for(wanted, _tape())
    assert sources_of(wanted) is None


def test_an_interrupt_in_a_strategy_stays_an_interrupt(tmp_path: Path) -> None:
    name = _write(
        tmp_path / "own.py", "class Own(Strategy):\n    def on_quote(self, q): raise KeyboardInterrupt\n"
    )
    with pytest.raises(KeyboardInterrupt):
        play(settings(strategy__name=name), _tape())
