"""LangChain's chat model, with what a server reports as thinking, which the library drops."""

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_core.outputs import ChatResult
    from langchain_openai import ChatOpenAI

THOUGHT = "thought"
# LM Studio, llama.cpp and DeepSeek use the first name, vLLM and OpenRouter the second.
_FIELDS = ("reasoning_content", "reasoning", "thinking")


@cache
def chat_class() -> "type[ChatOpenAI]":
    """Returns the class of chat models; the import takes a second."""
    from langchain_openai import ChatOpenAI

    class ReasoningChatModel(ChatOpenAI):
        def _create_chat_result(
            self, response: Any, generation_info: dict[str, Any] | None = None
        ) -> "ChatResult":
            result = super()._create_chat_result(response, generation_info)
            for choice, generation in zip(response.choices, result.generations, strict=True):
                generation.message.additional_kwargs[THOUGHT] = thought_in(
                    choice.message.model_dump(warnings=False)
                )
            return result

    return ReasoningChatModel


def thought_in(message: dict[str, Any]) -> str:
    """Returns the thinking in a message of a server: in a field of its own, or in parts of its content."""
    found = (message.get(name) for name in _FIELDS)
    fields = [value for value in found if isinstance(value, str) and value]
    content = message.get("content")
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    return fields[0] if fields else "".join(map(_thought_of, parts))


def _thought_of(part: dict[str, Any]) -> str:
    """Returns the text of a part of type `thinking`, which Mistral nests once more."""
    inner = part.get("thinking")
    if isinstance(inner, list):
        return "".join(str(each.get("text", "")) for each in inner if isinstance(each, dict))
    return inner if isinstance(inner, str) else ""
