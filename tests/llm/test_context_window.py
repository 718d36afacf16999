"""Small counts of a prompt's tokens: a cut, or a cache of what the server has read before."""

import msgspec
import pytest

from autohedge.llm.backend import LLMRequest, LLMResponse, Message, Usage
from autohedge.llm.context_window import KEPT_PROMPTS, ReadPrompts, prompt_tokens, truncation_error
from tests.llm.request_factory import GOOD, make_request, make_response

RULES = "Judge the market by its prices alone, and name the figures that support a decision. " * 12
TABLE = "".join(f"{3000 + n * 7 % 90}.25 {3001 + n * 7 % 90}.50\n" for n in range(60))
OTHER = "".join(f"{8000 + n * 13 % 90}.75 {8002 + n * 13 % 90}.25\n" for n in range(60))


def _request(table: str, *, rules: str = RULES, model: str = "") -> LLMRequest:
    messages = (Message("system", rules), Message("user", table))
    return msgspec.structs.replace(make_request(), messages=messages, model=model)


def _counted(request: LLMRequest, tokens: int, read: ReadPrompts) -> LLMResponse:
    return read.counted(request, make_response(GOOD, usage=Usage(tokens, 40)))


def _is_cut(request: LLMRequest, tokens: int, read: ReadPrompts) -> bool:
    """Whether the prompt counts as cut, by the recorded response alone."""
    recorded = msgspec.json.encode(_counted(request, tokens, read))
    return bool(truncation_error(request, msgspec.json.decode(recorded, type=LLMResponse)))


def _tokens(request: LLMRequest) -> int:
    """What a tokenizer counts: about two thirds of the upper bound."""
    return prompt_tokens(request) * 2 // 3


def test_a_first_prompt_with_a_small_count_is_cut() -> None:
    read = ReadPrompts()
    assert _is_cut(_request(TABLE), 1, read) and _is_cut(_request(TABLE), 1, read)
    assert _is_cut(_request(OTHER), 100, read)


def test_a_prompt_that_was_read_in_full_before_is_cached() -> None:
    request, read = _request(TABLE), ReadPrompts()
    assert not _is_cut(request, _tokens(request), read)
    assert not _is_cut(request, 1, read) and not _is_cut(request, 5, read)


def test_a_repair_is_counted_from_where_the_prompt_before_ended() -> None:
    request, read = _request(TABLE), ReadPrompts()
    _counted(request, _tokens(request), read)
    more = (Message("assistant", GOOD), Message("user", "That cannot be used: it is no JSON. Answer again."))
    repair = msgspec.structs.replace(request, messages=(*request.messages, *more))
    assert _is_cut(repair, 3, read) and not _is_cut(repair, 45, read)


def test_a_prompt_with_a_known_beginning_is_cut_below_its_new_part() -> None:
    first, second, read = _request(TABLE), _request(OTHER), ReadPrompts()
    _counted(first, _tokens(first), read)
    assert _is_cut(second, 30, read)
    new_part = _tokens(second) - _tokens(_request(""))
    assert not _is_cut(second, new_part, read)


def test_a_prompt_with_another_beginning_or_model_is_cut() -> None:
    first, read = _request(TABLE), ReadPrompts()
    _counted(first, _tokens(first), read)
    assert _is_cut(_request(TABLE, rules=f"Now: {RULES}"), 30, read)
    assert _is_cut(_request(TABLE, model="other"), 1, read)


def test_a_much_longer_prompt_is_cut_where_its_count_stays_small() -> None:
    """A server with a context that the first prompt just fills reads as much of the second one."""
    first, longer = _request("", rules=RULES), _request(TABLE * 2)
    read, context_tokens = ReadPrompts(), _tokens(first) + 50
    assert not _is_cut(first, _tokens(first), read)
    assert _is_cut(longer, context_tokens, read)


def test_a_cut_prompt_is_no_evidence_for_the_next() -> None:
    request, read = _request(TABLE), ReadPrompts()
    assert _is_cut(request, 60, read)
    assert _is_cut(request, 60, read)


def test_only_the_last_prompts_are_remembered() -> None:
    request, read = _request(TABLE), ReadPrompts()
    _counted(request, _tokens(request), read)
    for number in range(KEPT_PROMPTS):
        short = _request("", rules=f"{number} is the number. ")
        _counted(short, _tokens(short), read)
    assert _is_cut(request, 1, read)


def test_tokens_that_the_server_reports_as_cached_are_read() -> None:
    request = _request(TABLE)
    whole = make_response(GOOD, usage=Usage(20, 40, cached_tokens=_tokens(request) - 20))
    assert not truncation_error(request, whole)
    assert truncation_error(request, make_response(GOOD, usage=Usage(20, 40, cached_tokens=30)))


@pytest.mark.parametrize("usage", [None, Usage(0, 5), Usage(10_000, 5)])
def test_a_response_without_a_small_count_stays_as_it_is(usage: Usage | None) -> None:
    response = make_response(GOOD, usage=usage)
    assert ReadPrompts().counted(_request(TABLE), response) == response


def test_usage_without_cached_tokens_is_recorded_as_before() -> None:
    assert msgspec.json.encode(Usage(3, 4)) == b'{"prompt_tokens":3,"completion_tokens":4}'
