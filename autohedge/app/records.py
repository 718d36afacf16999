"""Run folders: opened for a new run, read back, replayed and packed."""

import platform
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

import autohedge
from autohedge import config
from autohedge.app.compose import engine_for
from autohedge.config import Settings
from autohedge.core.clock import compact_utc, wall_ns
from autohedge.core.errors import Corrupt, Misconfigured, Unavailable
from autohedge.core.ids import random_suffix
from autohedge.journal import Journal, RunFolder, read
from autohedge.journal.chain import BufferedStore
from autohedge.journal.folder import to_json
from autohedge.journal.genesis import FORMAT, Genesis
from autohedge.journal.verification import verify_chain
from autohedge.kernels.jit import source_hash
from autohedge.market import Origin, Tape, reopen
from autohedge.runtime.replay import Difference, replay
from autohedge.strategies.registry import source_of

if TYPE_CHECKING:
    from autohedge.graph.replay import DeliberationReplay


def open_record(
    settings: Settings,
    tape: Tape,
    launch: Mapping[str, Any] | None = None,
    agents: "HasManifest | None" = None,
) -> tuple[RunFolder, str]:
    """A published run folder whose journal holds the genesis, and the hash of that.

    Raises Unavailable where it cannot be written; nothing is left behind then.
    """
    run_id = f"{compact_utc(wall_ns())}-{settings.trader_name.rpartition(':')[2]}-{random_suffix()}"
    folder = RunFolder.create_draft(run_id)
    try:
        journal = Journal.begin(BufferedStore(folder.journal), _genesis(folder, settings, tape, agents))
        journal.close()
        if launch is not None:
            folder.write_launch(launch)
        return folder.publish(run_id), journal.head
    except Unavailable:
        folder.discard()
        raise
    except OSError as error:
        folder.discard()
        raise Unavailable(f"cannot write the run's folder: {error}") from None


class HasManifest(Protocol):
    """A slow plane that belongs into a run's genesis."""

    def manifest(self, store_file: Callable[[bytes, str], str]) -> dict[str, Any]:
        """What the genesis says of it; its files go through `keep`, which names them."""
        ...


def _genesis(folder: RunFolder, settings: Settings, tape: Tape, agents: HasManifest | None) -> dict[str, Any]:
    strategy = source_of(settings.strategy.name)
    genesis = Genesis(
        format=FORMAT,
        autohedge=autohedge.__version__,
        code=source_hash(),
        python=platform.python_version(),
        numpy=version("numpy"),
        numba=version("numba"),
        platform=platform.platform(),
        settings=folder.store_file(to_json(config.to_plain(settings)), ".json"),
        strategy=folder.store_file(strategy.read_bytes(), ".py") if strategy else None,
        tape=[asdict(origin) for origin in tape.origins],
        slow=agents.manifest(folder.store_file) if agents else None,
    )
    return msgspec.structs.asdict(genesis)


def replay_engine(folder: RunFolder) -> tuple[Difference | None, bool]:
    """Replay a run's record from its own settings; return the first difference, and if it finished.

    Raises Corrupt where a hash does not fit, Misconfigured where the tape is gone.
    """
    finished = verify_chain(folder).finished
    lines = read(folder.journal)
    genesis = Genesis.of(next(lines))
    settings = recorded_settings(folder, genesis)
    tape = reopen(origins_of(genesis), folder.tape)
    return replay(engine_for(settings, tape), tape.rows, (line.entry for line in lines)), finished


def replay_deliberations(folder: RunFolder) -> "DeliberationReplay | None":
    """Run a run's deliberations again from its record; None for a run that asks nothing.

    Raises Corrupt where a hash does not fit, Misconfigured where the packages of the agents are not installed.
    """
    genesis = Genesis.of(next(read(folder.journal)))
    settings = recorded_settings(folder, genesis)
    if settings.trading.mode == "hft":
        return None
    try:
        from autohedge.graph.replay import replay_deliberations
    except ModuleNotFoundError as error:
        raise Misconfigured(f"{error}, which deliberations need; replay with --engine-only") from None
    return replay_deliberations(folder, settings, genesis)


def pack(folder: RunFolder) -> list[Path]:
    """Copy a run's tape files into its folder, so that it replays wherever it is moved.

    Streams of the synthetic market need no file: their recipe is in the genesis. Raises
    Misconfigured where a tape is gone, Corrupt where it is not what the run saw.
    """
    origins = origins_of(Genesis.of(next(read(folder.journal))))
    reopen(origins, folder.tape)
    packed = []
    for origin in origins:
        source = Path(origin.path or "")
        target = folder.tape / f"{origin.content_hash}{source.suffix}"
        if origin.path and not target.exists():
            folder.tape.mkdir(exist_ok=True)
            packed.append(shutil.copyfile(source, target))
    return packed


def origins_of(genesis: Genesis) -> list[Origin]:
    """Where the streams of a recorded run came from. Raises Corrupt if that is damaged."""
    try:
        return msgspec.convert(genesis.tape, list[Origin])
    except msgspec.ValidationError as error:
        raise Corrupt(f"the journal's genesis is damaged: {error}") from None


def recorded_settings(folder: RunFolder, genesis: Genesis) -> Settings:
    """The settings of a recorded run, its own copy of a strategy file included."""
    values = folder.settings(genesis.settings)
    if genesis.strategy:
        class_name = values["strategy"]["name"].rpartition(":")[2]
        values["strategy"]["name"] = f"{folder.stored_file(genesis.strategy)}:{class_name}"
    return config.from_plain(values)


def replay_as_dict(
    folder: RunFolder, difference: Difference | None, reread: "DeliberationReplay | None" = None
) -> dict[str, Any]:
    """What both replays came to, for programs; `deliberations` is None where those were not asked for, or none."""
    first_difference = difference or (reread and reread.difference)
    return {
        "run": folder.id,
        "same": first_difference is None,
        "difference": difference and asdict(difference),
        "deliberations": reread and {"same": reread.difference is None} | asdict(reread),
    }
