"""Settings and secrets: resolved from all sources, validated once, immutable."""

from autohedge.config.account import opening_account
from autohedge.config.changes import changes_between, restarts_needed, with_changes
from autohedge.config.loading import (
    DEFAULT_FILE,
    SettingOrigin,
    from_plain,
    load,
    old_names,
    parse_override,
    read_toml,
    shipped_file,
    to_plain,
    unused_names,
    with_origins,
)
from autohedge.config.models import knowledge_cutoffs, models_without_price, prices_not_applied
from autohedge.config.secrets import Secrets, load_secrets, openai_base_url, read_secret
from autohedge.config.settings import Settings, applies_at
from autohedge.config.symbols import rules_not_applied
from autohedge.config.tables import merge

__all__ = [
    "DEFAULT_FILE",
    "Secrets",
    "SettingOrigin",
    "Settings",
    "applies_at",
    "changes_between",
    "from_plain",
    "knowledge_cutoffs",
    "load",
    "load_secrets",
    "merge",
    "models_without_price",
    "old_names",
    "openai_base_url",
    "opening_account",
    "parse_override",
    "prices_not_applied",
    "read_secret",
    "read_toml",
    "restarts_needed",
    "rules_not_applied",
    "shipped_file",
    "to_plain",
    "unused_names",
    "with_changes",
    "with_origins",
]
