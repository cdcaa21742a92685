"""Filters: the same answers as Karton's and the broker's (docs/filters.md, parity F1-F9).

``check`` refuses what could never be evaluated and names the clause; ``convert(filters).match(headers)`` evaluates.
What fails at run time is "no match".
"""
from __future__ import annotations

import difflib
import fnmatch
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Callable, Dict, Iterator, List, Tuple

from ._tables import LIMITS
from .exceptions import FilterError


class QueryError(FilterError):
    """A clause cannot be evaluated."""


class _Missing:
    """Stands for a header that is not there."""


_MISSING = _Missing()
_TYPE_NUMBERS = {
    "double": 1, "string": 2, "object": 3, "array": 4, "binData": 5, "objectId": 7, "bool": 8, "date": 9, "null": 10,
    "regex": 11, "javascript": 13, "javascriptWithScope": 15, "int": 16, "timestamp": 17, "long": 18,
}
_TYPES: Dict[int, Any] = {
    1: float, 2: str, 3: Mapping, 4: Sequence, 5: bytearray, 7: str, 8: bool, 9: str, 10: type(None), 11: re.Pattern,
    13: str, 15: str, 16: int, 17: int, 18: int,
}


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


class Query:
    """Filters, ready to be asked about headers."""

    def __init__(self, rules: List[Tuple[List[Any], List[Any]]]) -> None:
        self._rules = rules  # (positives, negatives), clauses as (key, condition)

    def match(self, headers: Any) -> bool:
        """Whether a task with these headers would be taken. QueryError for an operator that there is not."""
        try:
            return self._match(headers)
        except QueryError:
            raise
        except Exception:  # F8: what fails at run time is no match
            return False

    def _match(self, headers: Any) -> bool:
        # Old-style negations veto whatever other rules say (S31), so they are asked first.
        for positives, negatives in self._rules:
            if all(_clause(key, condition, headers) for key, condition in positives) and any(
                    _clause(key, condition, headers) for key, condition in negatives):
                return False
        return any(all(_clause(key, condition, headers) for key, condition in positives)
                   for positives, _ in self._rules)

    def __repr__(self) -> str:
        return f"<Query({self._rules})>"


def _rules(filters: Any) -> Iterator[Tuple[List[Any], List[Any]]]:
    for rule in filters:
        positives: List[Any] = []
        negatives: List[Any] = []
        for key, value in rule.items():
            if isinstance(value, str) and value[:1] == "!":
                negatives.append((key, _of_text(value[1:])))
            else:
                positives.append((key, _of_text(value) if isinstance(value, str) else value))
        yield positives, negatives


def convert(filters: Any) -> Query:
    """Filters of a bind to something that can be asked."""
    return Query(list(_rules(filters)))


def _of_text(text: str) -> Any:
    return {"$regex": fnmatch.translate(text)} if any(letter in text for letter in "?*[]!") else text


def _condition(condition: Any, entry: Any) -> bool:
    if isinstance(condition, Mapping):
        return all(_clause(key, value, entry) for key, value in condition.items())
    if _is_list(entry):
        return condition in entry
    return _equal(condition, entry)


def _equal(condition: Any, entry: Any) -> bool:
    if type(condition) is str and type(entry) is not str:
        return str(entry) == condition  # F4: compared as Python spells it
    return bool(entry == condition)


def _clause(key: Any, condition: Any, entry: Any) -> bool:
    if isinstance(condition, Mapping) and "$exists" in condition:
        if isinstance(key, str) and "." in key:
            return bool(_exists(key.split("."), condition["$exists"], entry))
        if condition["$exists"] != (key in entry):
            return False
        if len(condition) == 1:
            return True
    if not isinstance(key, str):
        return key in entry and _condition(condition, entry[key])
    if key.startswith("$"):
        operator = _OPERATORS.get(key)
        if operator is None:
            raise QueryError(f"{key} operator isn't supported")
        return bool(operator(condition, entry))
    try:
        found = _extract(entry, key.split("."))
    except IndexError:
        found = _MISSING
    return _condition(condition, found)


def _extract(entry: Any, path: List[str]) -> Any:
    if not path or entry is None:
        return entry
    if _is_list(entry):
        try:
            index = int(path[0])
        except ValueError:
            return [_extract(item, path) for item in entry]
        try:
            return _extract(entry[index], path[1:])
        except ValueError:
            return [_extract(item, path) for item in entry]
    if isinstance(entry, Mapping) and path[0] in entry:
        return _extract(entry[path[0]], path[1:])
    return _MISSING


def _exists(path: List[str], wanted: Any, entry: Any) -> Any:
    for at, key in enumerate(path):
        step: Any = key
        if isinstance(entry, Sequence):
            if not key.isdigit():
                for item in entry:
                    if _exists(path[at:], wanted, item) == wanted:
                        return wanted
                return not wanted
            step = int(key)
        try:
            entry = entry[step]
        except (TypeError, IndexError, KeyError):
            return not wanted
    return wanted


# ---- Operators


def _compare(how: Callable[[Any, Any], Any]) -> Callable[[Any, Any], bool]:
    def operator(condition: Any, entry: Any) -> bool:
        try:
            return bool(how(entry, condition))
        except TypeError:
            return False
    return operator


def _in(condition: Any, entry: Any) -> bool:
    if not _is_list(condition):
        raise TypeError("condition must be a list")
    if _is_list(entry):
        return any(item in entry for item in condition)
    return any(item == entry for item in condition)


def _each(name: str, condition: Any) -> Any:
    if not isinstance(condition, Sequence):
        raise QueryError(f"{name} has been attributed incorrect argument {condition}")
    return condition


def _type(condition: Any, entry: Any) -> bool:
    if condition == "number":
        return isinstance(entry, (float, int))
    number = _TYPE_NUMBERS.get(condition, condition)
    if number not in _TYPES:
        raise QueryError(f"$type has been used with unknown type {condition}")
    return isinstance(entry, _TYPES[number])


def _regex(condition: Any, entry: Any) -> bool:
    if not isinstance(entry, str):
        return False
    if isinstance(condition, re.Pattern):
        return condition.search(entry) is not None
    if not isinstance(condition, str):
        raise QueryError(f"{condition} is not a regular expression and should be a string")
    return _compiled(condition).search(entry) is not None


def _compiled(text: str) -> re.Pattern[str]:
    slashed = re.match(r"\A/(.+)/([imsx]{,4})\Z", text, flags=re.DOTALL)
    flags = 0
    if slashed:
        text = slashed.group(1)
        for letter in slashed.group(2):
            flags |= getattr(re, letter.upper())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return re.compile(text, flags)
    except Exception as error:
        raise QueryError(f"{text} failed to execute with error {error!r}") from None


def _elem_match(condition: Any, entry: Any) -> bool:
    if not isinstance(entry, Sequence):
        return False
    return any(all(_clause(key, value, item) for key, value in condition.items()) for item in entry)


def _size(condition: Any, entry: Any) -> bool:
    if not isinstance(condition, int):
        raise QueryError(f"$size has been attributed incorrect argument {condition}")
    return _is_list(entry) and len(entry) == condition


def _never(condition: Any, entry: Any) -> bool:
    raise NotImplementedError


_OPERATORS: Dict[str, Callable[[Any, Any], Any]] = {
    "$eq": lambda condition, entry: _equal(condition, entry),
    "$ne": lambda condition, entry: not _equal(condition, entry),
    "$gt": _compare(lambda entry, condition: entry > condition),
    "$gte": _compare(lambda entry, condition: entry >= condition),
    "$lt": _compare(lambda entry, condition: entry < condition),
    "$lte": _compare(lambda entry, condition: entry <= condition),
    "$in": _in,
    "$nin": lambda condition, entry: not _in(condition, entry),
    "$and": lambda condition, entry: all(_condition(item, entry) for item in _each("$and", condition)),
    "$or": lambda condition, entry: any(_condition(item, entry) for item in _each("$or", condition)),
    "$nor": lambda condition, entry: all(not _condition(item, entry) for item in _each("$nor", condition)),
    "$not": lambda condition, entry: not _condition(condition, entry),
    "$all": lambda condition, entry: all(_condition(item, entry) for item in condition),
    "$elemMatch": _elem_match,
    "$size": _size,
    "$type": _type,
    "$mod": lambda condition, entry: entry % condition[0] == condition[1],
    "$regex": _regex,
    "$exists": lambda condition, entry: True,
    "$options": _never, "$text": _never, "$where": _never,
}
_UNSUPPORTED = ("$options", "$text", "$where")


# ---- Refusing beforehand


def check(filters: Any) -> None:
    """Raises FilterError that names the clause, if one could never be evaluated. As the broker does at registration."""
    if isinstance(filters, Mapping) and not filters:
        return
    if not isinstance(filters, (list, tuple)):
        hint = ". Did you mean [{…}]?" if isinstance(filters, Mapping) else ""
        raise FilterError(f"filters: must be a list of maps, not a {_kind(filters)}{hint}")
    if len(filters) > LIMITS["FILTER_RULES"]:
        raise FilterError(f"filters: at most {LIMITS['FILTER_RULES']} rules, not {len(filters)}")
    for index, rule in enumerate(filters):
        if not isinstance(rule, Mapping):
            raise FilterError(f"filters[{index}]: must be a map, not a {_kind(rule)}")
        for key, value in rule.items():
            _check_clause(f"filters[{index}]", key, value, 1)


def _kind(value: Any) -> str:
    if isinstance(value, Mapping):
        return "map"
    names = {str: "text", list: "list", tuple: "list", int: "number", float: "number", bool: "boolean"}
    return "null" if value is None else names.get(type(value), type(value).__name__)


def _check_condition(path: str, condition: Any, depth: int) -> None:
    if isinstance(condition, Mapping):
        if depth > LIMITS["VALUE_DEPTH"]:
            raise FilterError(f"{path}: nested more than {LIMITS['VALUE_DEPTH']} deep")
        for key, value in condition.items():
            _check_clause(path, key, value, depth + 1)


def _check_clause(path: str, key: Any, value: Any, depth: int) -> None:
    if not isinstance(key, str):
        raise FilterError(f"{path}: a key is {_kind(key)}, not a text")
    if not key.startswith("$"):
        _check_condition(f"{path}.{key}", value, depth)
        return
    if key in _UNSUPPORTED:
        raise FilterError(f'{path}: the operator "{key}" is not supported')
    if key not in _OPERATORS:
        near = difflib.get_close_matches(key, [name for name in _OPERATORS if name not in _UNSUPPORTED], 1)
        raise FilterError(f'{path}: unknown operator "{key}"' + (f'. Did you mean "{near[0]}"?' if near else ""))
    where = f"{path}.{key}"
    if key in ("$in", "$nin"):
        if not isinstance(value, (list, tuple)):
            raise FilterError(f"{where}: must be a list, not a {_kind(value)}")
    elif key in ("$and", "$or", "$nor", "$all"):
        # Karton takes a text too, letter by letter, and for $all also the keys of a map.
        if not isinstance(value, (list, tuple, str, dict) if key == "$all" else (list, tuple, str)):
            raise FilterError(f"{where}: must be a list, not a {_kind(value)}")
        for item in value:
            _check_condition(where, item, depth + 1)
    elif key == "$not":
        _check_condition(where, value, depth)
    elif key == "$elemMatch":
        if not isinstance(value, Mapping):
            raise FilterError(f"{where}: must be a map, not a {_kind(value)}")
        _check_condition(where, value, depth)
    elif key == "$size":
        if not isinstance(value, int):
            raise FilterError(f"{where}: must be an integer, not a {_kind(value)}")
    elif key == "$type":
        _check_type(where, value)
    elif key == "$mod":
        pair: List[Any] = list(value[:2]) if isinstance(value, (list, tuple)) else []
        if len(pair) < 2 or not all(isinstance(item, (int, float)) for item in pair):
            raise FilterError(f"{where}: must be [divisor, remainder]")
        if pair[0] == 0:
            raise FilterError(f"{where}: the divisor is zero")
    elif key == "$regex":
        _check_regex(where, value)


def _check_type(where: str, value: Any) -> None:
    if value == "number" or value in _TYPES if not isinstance(value, (list, dict)) else False:
        return
    if isinstance(value, str):
        if value not in _TYPE_NUMBERS:
            near = difflib.get_close_matches(value, [*_TYPE_NUMBERS, "number"], 1)
            raise FilterError(f'{where}: unknown type "{value}"' + (f'. Did you mean "{near[0]}"?' if near else ""))
        return
    raise FilterError(f"{where}: must be the name or number of a BSON type")


def _check_regex(where: str, value: Any) -> None:
    if isinstance(value, re.Pattern):
        raise FilterError(f"{where}: a compiled pattern cannot be sent; write its text")
    if not isinstance(value, str):
        raise FilterError(f"{where}: must be a text, not a {_kind(value)}")
    try:
        _compiled(value)
    except QueryError as error:
        raise FilterError(f"{where}: {error.message}") from None
