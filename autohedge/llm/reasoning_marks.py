"""Separates a model's reasoning from its answer, by the marks that models write. They are listed here only.

Most servers take the reasoning out of the text. The marks are in the text where a server does not know those
of its model.
"""

import re
from typing import NamedTuple

# What begins a kind of reasoning, and what ends it. Possessive repeats (`*+`) keep a search linear.
MARKS: tuple[tuple[str, str], ...] = (
    # DeepSeek R1, Qwen 3, GLM, Granite 3.3, Hunyuan, Kimi K2, MiniMax, Nemotron, Phi 4
    ("<think>", "</think>"),
    # Reflection, fine-tunes and prompts
    ("<thinking>", "</thinking>"),
    # EXAONE Deep, Gemma
    ("<thought>", "</thought>"),
    ("<thoughts>", "</thoughts>"),
    ("<reason>", "</reason>"),
    ("<reasoning>", "</reasoning>"),
    ("<reflection>", "</reflection>"),
    ("<scratchpad>", "</scratchpad>"),
    ("<analysis>", "</analysis>"),
    # LongCat
    ("<longcat_think>", "</longcat_think>"),
    # Seed OSS
    ("<seed:think>", "</seed:think>"),
    # Magistral
    (r"\[THINK\]", r"\[/THINK\]"),
    # Kimi VL, Kimi k1.5
    ("◁think▷", "◁/think▷"),
    # Sky T1, OpenThinker
    (r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>"),
    # Command A and Command R7B
    (r"<\|START_THINKING\|>", r"<\|END_THINKING\|>"),
    # Apertus
    (r"<\|inner_prefix\|>", r"<\|inner_suffix\|>"),
    # Gemma 4
    (r"<\|channel>\s*+thought", r"<channel\|>"),
    # gpt-oss: each channel but the final one is reasoning; a constrained answer names its format
    (
        r"<\|channel\|>\s*+(?!final\b)\w++",
        r"<\|channel\|>\s*+final\b\s*+(?:<\|constrain\|>\s*+\w++\s*+)?+<\|message\|>",
    ),
)
# What some of these models write around the answer itself, after the end of their reasoning.
ANSWER_BEGINS = (
    r"<answer>|<response>|<output>|<\|START_RESPONSE\|>|<\|begin_of_solution\|>|<\|begin_of_box\|>"
)
ANSWER_ENDS = (
    r"</answer>|</response>|</output>|<\|END_RESPONSE\|>|<\|end_of_solution\|>|<\|end_of_box\|>"
    r"|<\|return\|>|<\|end\|>"
)

_KINDS = "|".join(f"(?P<begin{kind}>{begin})|(?P<end{kind}>{end})" for kind, (begin, end) in enumerate(MARKS))
# The first characters of all marks, as trying each mark at each character takes forty times as long.
_MARK = re.compile(rf"(?=[<\[◁])(?:{_KINDS})", re.IGNORECASE)


class Segment(NamedTuple):
    """A part of a text outside of reasoning: from `start` to the next mark or the end of the text, `stop`."""

    start: int
    stop: int


class VisibleText(NamedTuple):
    """The parts of a text outside of reasoning, in order.

    `unfinished_at` is where reasoning begins that never ends, or None. Each segment after the first follows a
    mark that ends reasoning.
    """

    segments: list[Segment]
    unfinished_at: int | None


def visible_parts(text: str) -> VisibleText:
    """Returns the parts of a text outside of reasoning.

    Reasoning ends at the mark of its own kind. A mark that ends reasoning which never began counts too: some
    chat templates put the beginning into the prompt.
    """
    segments, start, reasoning, began = list[Segment](), 0, "", 0
    for mark in _MARK.finditer(text):
        name = mark.lastgroup or ""
        begins, kind = name.startswith("begin"), name.removeprefix("begin").removeprefix("end")
        if not reasoning:
            segments.append(Segment(start, mark.start()))
        if begins and not reasoning:
            reasoning, began = kind, mark.start()
        elif not begins and reasoning in {"", kind}:
            reasoning, start = "", mark.end()
    if reasoning:
        return VisibleText(segments, began)
    return VisibleText([*segments, Segment(start, len(text))], None)


def without_reasoning(text: str) -> str:
    """Returns what a text holds after its reasoning; empty if the reasoning never ends."""
    visible = visible_parts(text)
    if visible.unfinished_at is not None:
        return ""
    last = visible.segments[-1]
    return text[last.start : last.stop].strip()
