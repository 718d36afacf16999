"""The code of a user's strategy: how its modules are found and run, what is recorded of it, and its failures."""

import ast
import contextlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.abc import MetaPathFinder, SourceLoader
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from autohedge.core.errors import StrategyFailed
from autohedge.core.text import one_line

TEXT_CHARS, VALUE_CHARS = 300, 60
# Files beside a strategy must not replace the modules that everything else imports.
RESERVED = sys.stdlib_module_names | {"autohedge"}
INSTALLED = {"site-packages", "dist-packages"}


@dataclass(frozen=True, slots=True)
class StrategySources:
    """The sources that a strategy was loaded from.

    `module` is the name of its module, None for a file. `modules` has the modules beside it, by their path
    relative to the folder that imports start from.
    """

    source: bytes
    module: str | None = None
    modules: Mapping[str, bytes] = field(default_factory=dict)


class _Loader(SourceLoader):
    """Loads one file of a user without bytecode on the disk, and keeps its source."""

    def __init__(self, code: "StrategyModuleFinder", path: Path, relative: str) -> None:
        self._code = code
        self._path = path
        self._relative = relative

    def get_filename(self, fullname: str) -> str:  # noqa: ARG002
        return str(self._path)

    def get_data(self, path: str | bytes | os.PathLike[str]) -> bytes:
        content = Path(os.fsdecode(path)).read_bytes()
        self._code.keep(self._relative, self._path, content)
        return content


class StrategyModuleFinder(MetaPathFinder):
    """The modules of one strategy: those in a folder, or those that a record stored.

    They are found while `running`, before installed ones, and what they print goes to stderr.
    """

    def __init__(self, root: Path | None, stored: Mapping[str, Path] | None = None) -> None:
        self._root = root
        self._stored = stored
        self._files: set[str] = set()
        self.sources: dict[str, bytes] = {}

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """Finds a module by its name, for the import system."""
        if fullname.partition(".")[0] in RESERVED:
            return None
        place = fullname.replace(".", "/")
        for relative in (f"{place}/__init__.py", f"{place}.py"):
            if file := self._file(relative):
                loader = _Loader(self, file, relative)
                inside = [str(file.parent)] if relative.endswith("/__init__.py") else None
                return importlib.util.spec_from_file_location(
                    fullname, file, loader=loader, submodule_search_locations=inside
                )
        return self._namespace(fullname, place)

    def _file(self, relative: str) -> Path | None:
        if self._stored is not None:
            return self._stored.get(relative)
        file = self._root / relative if self._root else None
        return file if file and file.is_file() else None

    def _namespace(self, fullname: str, place: str) -> ModuleSpec | None:
        """Finds a folder of modules without `__init__.py`."""
        if self._stored is not None:
            there = any(relative.startswith(f"{place}/") for relative in self._stored)
        else:
            there = bool(self._root) and any((self._root or Path()).glob(f"{place}/*.py"))
        if not there:
            return None
        spec = ModuleSpec(fullname, None, is_package=True)
        spec.submodule_search_locations = [str((self._root or Path()) / place)]
        return spec

    def keep(self, relative: str, path: Path, content: bytes) -> None:
        """Keeps the source of a module, for the record."""
        self._files.add(str(path))
        self.sources[relative] = content

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """While the user's code runs: its modules are found, and stdout stays free for results."""
        sys.meta_path.insert(0, self)
        try:
            with contextlib.redirect_stdout(sys.stderr):
                yield
        finally:
            sys.meta_path.remove(self)

    def load_file(self, path: Path) -> ModuleType:
        """Runs a file as a module of its own. Raises what it raises."""
        name = f"autohedge_user_{path.stem}"
        spec = importlib.util.spec_from_file_location(name, path, loader=_Loader(self, path, ""))
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        # Registered before it runs, as the import system does: dataclasses look their module up there.
        sys.modules[name] = module
        with self.running():
            spec.loader.exec_module(module)
        return module

    def load_module(self, name: str) -> ModuleType:
        """Imports a module by its name. Raises what it raises."""
        with self.running():
            module = importlib.import_module(name)
        if module.__file__:
            self._files.add(module.__file__)
        return module

    def sources_of(self, module: ModuleType, name: str | None) -> StrategySources | None:
        """Returns the sources of a loaded strategy, with those of modules that it imports later.

        None for a module without a source file.
        """
        self._keep_imported()
        modules = {relative: content for relative, content in self.sources.items() if relative}
        if name is None:
            return StrategySources(self.sources[""], None, modules)
        path = f"{name.replace('.', '/')}"
        for relative in (f"{path}.py", f"{path}/__init__.py"):
            if relative in modules:
                return StrategySources(modules[relative], name, modules)
        file = module.__file__
        return StrategySources(Path(file).read_bytes()) if file and file.endswith(".py") else None

    def _keep_imported(self) -> None:
        """Keeps the sources that any import statement names, also those that have not run yet."""
        pending = list(self.sources)
        while pending:
            relative = pending.pop()
            known = set(self.sources)
            for name in _imports(self.sources[relative], relative):
                spec = self.find_spec(name)
                if spec and isinstance(spec.loader, _Loader):
                    spec.loader.get_data(spec.loader.get_filename(name))
            pending += self.sources.keys() - known

    def failure(self, error: BaseException, did: str, when: str) -> StrategyFailed:
        """Returns the error that blames the user's code; `did` is what it did unless it called sys.exit."""
        place = self._place(error)
        where = f" ({place})" if place else ""
        if isinstance(error, SystemExit):
            code = "" if error.code is None else described(error.code)
            return StrategyFailed(f"called sys.exit({code}) {when}{where}")
        text = _text(error)
        return StrategyFailed(f"{did}: {type(error).__name__}{': ' if text else ''}{text}{where}")

    def _place(self, error: BaseException) -> str:
        """Returns the innermost line of the user's files that the error passed; empty if there is none."""
        place, traceback = "", error.__traceback__
        while traceback:
            if (file := traceback.tb_frame.f_code.co_filename) in self._files:
                place = f"{_shown(file)}, line {traceback.tb_lineno}"
            traceback = traceback.tb_next
        if isinstance(error, SyntaxError) and error.filename in self._files:
            place = f"{_shown(error.filename or '')}, line {error.lineno}"
        return place


def forget_user_modules() -> None:
    """Removes the modules of earlier strategies, so that the next one gets its own of the same names."""
    for name, module in list(sys.modules.items()):
        if isinstance(getattr(module, "__loader__", None), _Loader):
            del sys.modules[name]


def root_of(module: str) -> Path | None:
    """Returns the folder from which a module is imported; None for an installed one or an unknown name."""
    top = module.partition(".")[0]
    if StrategyModuleFinder(Path.cwd()).find_spec(top):
        return Path.cwd()
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        return None
    folder = Path(spec.origin).parent
    root = folder.parent if spec.submodule_search_locations else folder
    return None if INSTALLED & set(root.parts) or top in RESERVED else root


def _imports(source: bytes, relative: str) -> Iterator[str]:
    """Yields every module name that the import statements of a source may mean."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    package = relative.rpartition("/")[0].replace("/", ".")
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _with_parents(alias.name)
        elif isinstance(node, ast.ImportFrom):
            yield from _from_names(node, package)


def _from_names(node: ast.ImportFrom, package: str) -> Iterator[str]:
    base = node.module or ""
    if node.level:
        parts = package.split(".")[: len(package.split(".")) - node.level + 1]
        base = ".".join([*filter(None, parts), *filter(None, [base])])
    if base:
        yield from _with_parents(base)
    for alias in node.names:
        yield f"{base}.{alias.name}" if base else alias.name


def _with_parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[:count]) for count in range(1, len(parts) + 1))


def _text(error: BaseException) -> str:
    """The text of an error in one line; empty if it has none or cannot be formatted."""
    try:
        return one_line(error.msg if isinstance(error, SyntaxError) else str(error), TEXT_CHARS)
    except Exception:  # noqa: BLE001 - the user's __str__ may raise anything
        return ""


def described(value: object) -> str:
    """Returns the representation of a user's value in one short line."""
    try:
        return one_line(repr(value), VALUE_CHARS)
    except Exception:  # noqa: BLE001 - the user's __repr__ may raise anything
        return type(value).__name__


def _shown(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file
