"""`prompts cost`: the tokens of each part of the agents' prompts."""

from typing import TYPE_CHECKING, Annotated

import typer

from autohedge.cli.commands import prompts_app
from autohedge.cli.options import (
    AsJson,
    At,
    ConfigFile,
    Overrides,
    Tapes,
    echo,
    load_inputs,
    parse_at,
    print_json,
)
from autohedge.cli.prompts import stream_of

if TYPE_CHECKING:
    from autohedge.ask.prompt_cost import PromptCost


@prompts_app.command("cost")
def show_cost(
    tape: Tapes = None,
    symbol: Annotated[str | None, typer.Option("--symbol", help="Default: the first of the tape.")] = None,
    at: At = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Show the tokens of each part of the agents' prompts."""
    from autohedge.agents.specs import AGENTS
    from autohedge.ask.prompt_cost import prompt_cost
    from autohedge.graph.prompt_builder import PromptBuilder, PromptFiles
    from autohedge.tools import preview

    settings, market = load_inputs(config, tape, None, overrides, None)
    stream = stream_of(market.streams, symbol or market.symbols[0])
    snapshot = preview(settings, stream, None if at is None else parse_at(at))
    builder = PromptBuilder.of(PromptFiles.of(settings), settings.tools, settings.agents)
    costs = [prompt_cost(builder, snapshot, agent) for agent in AGENTS]
    if as_json:
        print_json({"symbol": stream.symbol, "agents": {each.agent: _as_dict(each) for each in costs}})
        return
    from autohedge.ask.prompt_cost_table import print_costs

    print_costs(costs)
    echo("tokens at most; most tokenizers need fewer. Prompt and answer must fit llm.context_tokens")


def _as_dict(cost: "PromptCost") -> dict[str, object]:
    return {"total": cost.total, "answer": cost.answer, "parts": dict(cost.parts)}
