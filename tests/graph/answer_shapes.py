"""Texts around an answer with which it is no answer: drafts, quotations, and what the model withdraws."""

from collections.abc import Callable

REFUSAL = '{"decision": "no_trade"'

NO_ANSWERS: dict[str, Callable[[str], str]] = {
    "withdrawn": lambda answer: f"{answer}\n\nOn reflection the spread eats this. Stay out.",
    "quoted": lambda answer: f"It would be wrong to write {answer} today.",
    "quoted_fence": lambda answer: f"It would be wrong to write ```json {answer}``` today.",
    "fence_then_text": lambda answer: f"```json\n{answer}\n```\nForget that: no trade.",
    "draft_then_broken": lambda answer: f"First idea: {answer}\nFinal:\n```json\n{REFUSAL}\n```",
    "draft_then_fence": lambda answer: f"First idea: {answer}\nFinal:\n```json\n{answer}\n```",
    "two_fences": lambda answer: f"```json\n{answer}\n```\n```json\n{REFUSAL}}}\n```",
    "list_of_one": lambda answer: f"[{answer}]",
    "list_of_two": lambda answer: f"[{answer}, {REFUSAL}}}]",
    "thought": lambda answer: f"<thought>{answer}</thought>",
    "unfinished_think": lambda answer: f"<think>What if\n```json\n{answer}\n```",
    "unfinished_bracket": lambda answer: f"[THINK]What if {answer}, but the fees",
    "unfinished_other_end": lambda answer: f"[THINK]What if</think>{answer}",
    "analysis_channel": lambda answer: f"<|channel|>analysis<|message|>What if {answer}<|end|>",
    "final_then_analysis": lambda answer: (
        f"<|channel|>final<|message|>{answer}<|end|><|channel|>analysis<|message|>Wait"
    ),
    "think_after": lambda answer: f"{answer}<think>Is that right? No.",
}
"""Each turns an answer into a text that must not be taken as that answer."""
