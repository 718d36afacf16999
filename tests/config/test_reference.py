"""The starter file and the page of all settings, both made from the shipped config.toml."""

import tomllib
from pathlib import Path

from autohedge.config import load, to_plain
from autohedge.config.reference import STARTER_KEYS, settings_page, shipped_settings, starter_file

ROOT = Path(__file__).parents[2]


def test_settings_page_in_docs_is_up_to_date() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert page == settings_page(), "python -m autohedge.config.reference > docs/settings.md"


def test_every_setting_is_described() -> None:
    assert [setting.name for setting in shipped_settings() if not setting.meaning] == []


def test_reference_has_every_setting_once(workplace: Path) -> None:
    names = [setting.name for setting in shipped_settings()]
    shipped = tomllib.loads((ROOT / "config.toml").read_text(encoding="utf-8"))
    assert len(names) == len(set(names))
    assert set(names) == set(_names(shipped))


def _names(table: dict[str, object], prefix: str = "") -> list[str]:
    names: list[str] = []
    for key, value in table.items():
        is_section = isinstance(value, dict) and bool(value)
        names += _names(value, f"{prefix}{key}.") if is_section else [prefix + key]  # type: ignore[arg-type]
    return names


def test_starter_file_has_twenty_settings_with_their_defaults(workplace: Path) -> None:
    defaults = to_plain(load())
    Path("config.toml").write_text(starter_file(), encoding="utf-8")
    assert sorted(_names(tomllib.loads(starter_file()))) == sorted(STARTER_KEYS)
    assert len(STARTER_KEYS) == 20
    assert to_plain(load()) == defaults
    assert max(map(len, starter_file().splitlines())) <= 110
