"""The catalogue of mutants: small changes of the package, each like a bug that a trading system could have.

A file of the catalogue is TOML with one table per mutant; the name of the table is the name of the mutant.
"""

import tomllib
from collections.abc import Iterable, Sequence
from functools import cache
from hashlib import blake2b
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "autohedge"
CATALOGUE = Path(__file__).parent / "catalogue"
CHOSEN = 10  # mutants of a slice that the hash of the sources chooses, beside the fixed ones


class InvalidCatalogue(Exception):
    """The catalogue does not fit the package; the message is one line per mutant."""


class Mutant(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One change of one file of the package: `old`, which occurs once in `file`, becomes `new`.

    `like` says which bug it is like. `equivalent` is the reason why no test can notice it, else empty. `missed`
    says why nobody notices it yet; it survives without failing the run. Mutants with `fixed` are in every slice.
    """

    name: str
    file: str
    old: str
    new: str
    like: str
    equivalent: str = ""
    missed: str = ""
    fixed: bool = False

    @property
    def module(self) -> str:
        """The name of the changed module."""
        return "autohedge." + self.file.removesuffix(".py").replace("/", ".")

    def source(self) -> str:
        """Returns the source of the module with the change. Raises InvalidCatalogue if `old` is not in it once."""
        try:
            text = (PACKAGE / self.file).read_text(encoding="utf-8")
        except FileNotFoundError:
            raise InvalidCatalogue(f"{self.name}: autohedge/{self.file} does not exist") from None
        if (count := text.count(self.old)) != 1:
            raise InvalidCatalogue(f"{self.name}: autohedge/{self.file} has {count} times: {self.old!r}")
        return text.replace(self.old, self.new)


@cache
def load() -> tuple[Mutant, ...]:
    """Returns all mutants. Raises InvalidCatalogue for a table that is no mutant, or a name that is not unique."""
    mutants: dict[str, Mutant] = {}
    for file in sorted(CATALOGUE.glob("*.toml")):
        for name, table in tomllib.loads(file.read_text(encoding="utf-8")).items():
            if name in mutants:
                raise InvalidCatalogue(f"{file.name}: {name} is in another file too")
            mutants[name] = _mutant(file, name, table)
    return tuple(mutants.values())


def _mutant(file: Path, name: str, table: object) -> Mutant:
    try:
        return msgspec.convert({"name": name, **dict(table)}, Mutant)  # type: ignore[call-overload]
    except (msgspec.ValidationError, TypeError, ValueError) as error:
        raise InvalidCatalogue(f"{file.name}: {name}: {error}") from None


def stale(mutants: Iterable[Mutant]) -> list[str]:
    """Returns one line for each mutant that does not fit the package, or does not compile."""
    problems = []
    for mutant in mutants:
        try:
            compile(mutant.source(), mutant.file, "exec", dont_inherit=True)
        except InvalidCatalogue as error:
            problems.append(str(error))
        except SyntaxError as error:
            problems.append(f"{mutant.name}: {error}")
    return problems


def chosen(mutants: Sequence[Mutant], names: Sequence[str]) -> list[Mutant]:
    """Returns the mutants of these names. Raises InvalidCatalogue for an unknown one."""
    known = {mutant.name: mutant for mutant in mutants}
    if unknown := [name for name in names if name not in known]:
        raise InvalidCatalogue(f"no such mutant: {', '.join(unknown)}; --list shows all")
    return [known[name] for name in names]


def slice_of(mutants: Sequence[Mutant], key: str) -> list[Mutant]:
    """Returns the fixed mutants, and `CHOSEN` others that `key` chooses; equivalent and missed ones are left out."""
    run = [mutant for mutant in mutants if not mutant.equivalent and not mutant.missed]
    others = sorted(
        (mutant for mutant in run if not mutant.fixed), key=lambda mutant: _digest(key, mutant.name)
    )
    return [mutant for mutant in run if mutant.fixed or mutant in others[:CHOSEN]]


def source_hash() -> str:
    """Returns a hash of all sources of the package."""
    files = sorted(PACKAGE.rglob("*.py"))
    return _digest(*(f"{file.relative_to(PACKAGE)}\n{file.read_text(encoding='utf-8')}" for file in files))


def _digest(*texts: str) -> str:
    return blake2b("\0".join(texts).encode(), digest_size=8).hexdigest()
