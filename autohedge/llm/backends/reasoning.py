"""Models that think before they answer: the parameters that servers take, and the signs in a response."""

import re
from typing import Any

from autohedge.config.sections import Reasoning
from autohedge.llm.backend import LLMResponse

Part = dict[str, Any]

# Chat templates ignore variables that they do not use: Qwen and others know the first, DeepSeek the second.
_TEMPLATE_OFF: Part = {"chat_template_kwargs": {"enable_thinking": False, "thinking": False}}
_EFFORT_NONE: Part = {"reasoning_effort": "none"}
_EFFORT_LEAST: tuple[Part, ...] = ({"reasoning_effort": "minimal"}, {"reasoning_effort": "low"})
_OFF: dict[str, tuple[Part, ...]] = {
    # gpt-oss cannot stop thinking, but think little.
    "ollama_chat": ({"think": False}, {"think": "low"}),
    "openai": (_EFFORT_NONE, *_EFFORT_LEAST),
    "lm_studio": (_EFFORT_NONE, _TEMPLATE_OFF, {"reasoning_effort": "low"}),
    "llama_cpp": (
        {**_TEMPLATE_OFF, "thinking_budget_tokens": 0},
        _EFFORT_NONE,
        {"chat_template_kwargs": {"reasoning_effort": "low"}},
    ),
    "vllm": (_TEMPLATE_OFF, _EFFORT_NONE, {"reasoning_effort": "low"}),
}
# Hosted models and gateways: OpenAI's form, then those of Qwen's and of DeepSeek's and GLM's own services.
_OFF_AT_OTHERS: tuple[Part, ...] = (
    _EFFORT_NONE,
    _TEMPLATE_OFF,
    {"enable_thinking": False},
    {"thinking": {"type": "disabled"}},
    *_EFFORT_LEAST,
)
_OPENS_THOUGHT = re.compile(r"\s*[<\[][|/:\w]*(think|thought|channel|reason|analysis)", re.IGNORECASE)
_CUT_SHORT = frozenset({"length", "max_tokens", "model_length"})


def thinking_parts(server: str, reasoning: Reasoning) -> tuple[Part, ...]:
    """Returns the parts of a body that may set how much a model thinks, the most likely first.

    One of them is empty, so that every server takes one: the first for `auto`, else the last.
    """
    off = _OFF.get(server, _OFF_AT_OTHERS)
    if reasoning == "auto":
        return ({}, *off)
    return (*(off if reasoning == "off" else _levels(server, reasoning)), {})


def _levels(server: str, level: str) -> tuple[Part, ...]:
    on = {"enable_thinking": True, "thinking": True}
    match server:
        case "ollama_chat":
            return {"think": level}, {"think": True}
        case "llama_cpp":
            return ({"chat_template_kwargs": {**on, "reasoning_effort": level}},)
        case "vllm":
            effort = {"reasoning_effort": level}
            return {**effort, "chat_template_kwargs": on}, effort
        case _:
            return ({"reasoning_effort": level},)


def was_cut(answer: LLMResponse) -> bool:
    """Whether the answer reached its token limit."""
    return answer.finish_reason.lower() in _CUT_SHORT


def lost_in_thought(answer: LLMResponse) -> bool:
    """Whether the model wrote no answer, or thought until its tokens were used up."""
    thought = bool(answer.reasoning) or bool(_OPENS_THOUGHT.match(answer.text))
    return not answer.text.strip() or (was_cut(answer) and thought)
