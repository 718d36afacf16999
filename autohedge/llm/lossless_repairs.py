"""Reads values that are written in another form than the schema's, where only one reading is possible.

Each rule has a name, which is recorded with the call. A value with two readings stays as it is, and is then
refused by the validation: "1,000" is a thousand or one, and "0.8" in percent is 0.8 % or 80 %.
"""

import re
from typing import Any, Literal

from autohedge.llm.backend import LLMRequest
from autohedge.llm.extraction import MAX_DIGITS, decimal_number

Rule = Literal["number_as_string", "percent_sign", "literal_spelling", "symbol_spelling", ""]

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?")
_LITERAL_SEPARATORS = re.compile(r"[\s_-]+")
_SYMBOL_SEPARATORS = re.compile(r"[\s/_:-]+")


def read_lossless(value: dict[str, Any], request: LLMRequest) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Returns an answer in the form of the request's schema, and the rules that were needed, each once.

    * `number_as_string`: "80" for 80, in a field or a list of numbers.
    * `percent_sign`: "80%" for 80, in a field whose name ends in `_pct`.
    * `literal_spelling`: `TRADE` or `no trade`, another case or separator of a literal from a list.
    * `symbol_spelling`: ETH-USD for the requested ETH/USD, another case or separator of the symbol. Not for a
      request with `exact_symbol`.
    """
    fields = request.schema.get("properties", {})
    read = {name: _field(name, given, fields.get(name, {}), request) for name, given in value.items()}
    rules = dict.fromkeys(rule for _, rule in read.values() if rule)
    return {name: known for name, (known, _) in read.items()}, tuple(rules)


def symbol_letters(symbol: str) -> str:
    """Returns a symbol without separators and in lower case; equal for all spellings of one symbol."""
    return _SYMBOL_SEPARATORS.sub("", symbol).lower()


def _field(name: str, given: Any, field: dict[str, Any], request: LLMRequest) -> tuple[Any, Rule]:
    if isinstance(given, list):
        read = [_field("", each, field.get("items", {}), request) for each in given]
        return [known for known, _ in read], next((rule for _, rule in read if rule), "")
    if not isinstance(given, str) or given in field.get("enum", ()):
        return given, ""
    if field.get("type") in {"integer", "number"}:
        return _number(given, percent=name.endswith("_pct"))
    return _symbol(given, field, request) if name == "symbol" else _literal(given, field)


def _number(given: str, *, percent: bool) -> tuple[Any, Rule]:
    text = given.strip()
    signed = percent and text.endswith("%")
    text = text.removesuffix("%").rstrip() if signed else text
    if len(text) > MAX_DIGITS or not _NUMBER.fullmatch(text):
        return given, ""
    number = decimal_number(text) if "." in text else int(text)
    if percent and not signed and "." in text and abs(number) <= 1:
        return given, ""  # a share of 1, or a percentage
    return number, "percent_sign" if signed else "number_as_string"


def _literal(given: str, field: dict[str, Any]) -> tuple[Any, Rule]:
    spelled = _literal_letters(given)
    same = [each for each in field.get("enum", ()) if _literal_letters(each) == spelled]
    return (same[0], "literal_spelling") if len(same) == 1 else (given, "")


def _literal_letters(literal: str) -> str:
    return _LITERAL_SEPARATORS.sub("_", literal.strip()).lower()


def _symbol(given: str, field: dict[str, Any], request: LLMRequest) -> tuple[Any, Rule]:
    if field.get("enum") != [request.symbol] or request.exact_symbol:
        return given, ""
    same = symbol_letters(given) == symbol_letters(request.symbol)
    return (request.symbol, "symbol_spelling") if same else (given, "")
