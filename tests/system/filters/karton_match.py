"""Answers lines {"filters": …, "headers": …, "is_refused": …} as karton-core does: {"match": …} or {"raised": "…"}.

With is_refused (the other side answered with an error) also may_raise: Karton raises on these filters for one of a set of other headers, so that they may be refused beforehand.
"""
import json
import sys
import warnings

from karton.core import query

warnings.simplefilter("ignore")

ODD = ["text", "", 3, 2.5, True, None, ["text", 1], [], {"a": {"b": 1}}, {}, [{"a": "text", "b": [1]}], "ab", [[1, "x"]]]


def matches(filters, headers):
    return bool(query.convert(filters).match(headers))


def keys_of(filters):
    """Every key that may be looked up in headers, dotted ones too."""
    if isinstance(filters, dict):
        for key, value in filters.items():
            if not key.startswith("$"):
                yield key
            yield from keys_of(value)
    elif isinstance(filters, list):
        for item in filters:
            yield from keys_of(item)


def nested(path, value):
    head, _, tail = path.partition(".")
    return {head: nested(tail, value) if tail else value}


def may_raise(filters, headers):
    keys = sorted(set(keys_of(filters)))
    probes = [{}] + [{key: odd for key in keys} for odd in ODD]
    for key in keys:
        probes += [dict(headers, **nested(key, odd)) for odd in ODD]
        probes += [nested(key, odd) for odd in ODD]
    for probe in probes:
        try:
            matches(filters, probe)
        except Exception:
            return True
    # Clauses that no probe reaches are asked one by one, those of a rule also as a rule of their own.
    rules = [{key: value} for made in filters for key, value in made.items()]
    return any(rule_raises(made) for made in rules) or any(clause_raises(clause) for clause in clauses_of(filters))


def rule_raises(made):
    try:
        matches([made], {})
    except Exception:
        return True
    return False


def clauses_of(filters):
    if isinstance(filters, dict):
        for key, value in filters.items():
            yield {key: value}
            yield from clauses_of(value)
    elif isinstance(filters, list):
        for item in filters:
            yield from clauses_of(item)


def clause_raises(clause):
    for odd in ODD:
        try:
            query.Query({"x": clause}, True).match({"x": odd})
        except Exception:
            return True
    return False


def main():
    for line in sys.stdin:
        pair = json.loads(line)
        try:
            answer = {"match": matches(pair["filters"], pair["headers"])}
            if pair["is_refused"]:  # many probes: only where the answer depends on it
                answer["may_raise"] = may_raise(pair["filters"], pair["headers"])
        except Exception as error:
            answer = {"raised": repr(error)[:200]}
        print(json.dumps(answer), flush=False)


main()
