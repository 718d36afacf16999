"""The cost of prompts on the terminal: a column for each agent, a row for each part."""

from collections.abc import Sequence

from rich.markup import escape

from autohedge.ask.prompt_cost import FORM, PromptCost
from autohedge.console.tables import headed_table
from autohedge.core.terminal import PrintableConsole


def print_costs(costs: Sequence[PromptCost]) -> None:
    """Prints the tokens of each part and in all; a part that an agent's prompt does not have is empty."""
    table = headed_table(["part"], [cost.agent for cost in costs])
    parts = dict.fromkeys(part for cost in costs for part in cost.parts)
    for part in sorted(parts, key=FORM.__eq__):  # the form last, the others in their order
        cells = (f"{cost.parts[part]:,}" if part in cost.parts else "" for cost in costs)
        table.add_row(escape(part), *cells)
    table.add_row("[bold]prompt[/bold]", *(f"[bold]{cost.total:,}[/bold]" for cost in costs))
    table.add_row("answer", *(f"{cost.answer:,}" for cost in costs))
    PrintableConsole(soft_wrap=True).print_whole(table)
