"""What scenarios expect, compared with what came: maps by their named members, all else exactly; operators begin with "?"."""
import json
import math
import re


def same(expected, actual):
    """Equal with types: 1 is not 1.0 and not True; NaN is NaN."""
    if type(expected) is not type(actual):
        return False
    if isinstance(expected, float):
        return (math.isnan(expected) and math.isnan(actual)) or (
            expected == actual and math.copysign(1, expected) == math.copysign(1, actual))
    if isinstance(expected, dict):
        return expected.keys() == actual.keys() and all(same(value, actual[key]) for key, value in expected.items())
    if isinstance(expected, list):
        return len(expected) == len(actual) and all(map(same, expected, actual))
    return expected == actual


def shown(value):
    text = json.dumps(value, default=repr)
    return text if len(text) < 1500 else text[:1500] + "…"


def _unordered(expected, actual, at, whole):
    if not isinstance(actual, list) or (whole and len(actual) != len(expected)):
        yield f"{at}: expected {len(expected)} items in any order, got {shown(actual)}"
        return
    left = list(actual)
    for item in expected:
        for index, candidate in enumerate(left):
            if not list(differences(item, candidate)):
                del left[index]
                break
        else:
            yield f"{at}: nothing is like {shown(item)} in {shown(actual)}"


def _operator(name, argument, actual, at):
    if name == "?exactly":
        if not same(argument, actual):
            yield f"{at}: expected exactly {shown(argument)}, got {shown(actual)}"
    elif name == "?text":
        if not isinstance(actual, str) or not re.search(argument, actual):
            yield f"{at}: expected text like {argument!r}, got {shown(actual)}"
    elif name == "?any_order":
        yield from _unordered(argument, actual, at, True)
    elif name == "?with":
        yield from _unordered(argument, actual, at, False)
    elif name == "?count":
        if not isinstance(actual, (list, dict, str)) or len(actual) != argument:
            yield f"{at}: expected {argument} items, got {shown(actual)}"
    elif name == "?at_least":
        if not isinstance(actual, (int, float)) or actual < argument:
            yield f"{at}: expected at least {argument}, got {shown(actual)}"
    elif name == "?not":
        if not list(differences(argument, actual)):
            yield f"{at}: expected anything but {shown(argument)}"
    else:
        yield f"{at}: no operator {name}"


def differences(expected, actual, at="it"):
    """Sentences; none: it is as expected."""
    if isinstance(expected, dict) and len(expected) == 1 and next(iter(expected)).startswith("?"):
        name, argument = next(iter(expected.items()))
        yield from _operator(name, argument, actual, at)
    elif isinstance(expected, dict):
        if not isinstance(actual, dict):
            yield f"{at}: expected a map, got {shown(actual)}"
            return
        for key, value in expected.items():
            if value == "?absent":
                if actual.get(key) is not None:
                    yield f"{at}.{key}: expected none, got {shown(actual[key])}"
            elif key not in actual:
                yield f"{at}.{key}: missing, there are {sorted(actual)}"
            else:
                yield from differences(value, actual[key], f"{at}.{key}")
    elif isinstance(expected, list):
        if not isinstance(actual, list) or len(actual) != len(expected):
            yield f"{at}: expected {len(expected)} items, got {shown(actual)}"
            return
        for index, (one, other) in enumerate(zip(expected, actual)):
            yield from differences(one, other, f"{at}.{index}")
    elif not same(expected, actual):
        yield f"{at}: expected {shown(expected)}, got {shown(actual)}"


def fill(value, variables):
    """value with "$name" replaced by what was kept, and "${name}" inside texts."""
    if isinstance(value, str):
        whole = re.fullmatch(r"\$([a-z][a-z0-9_]*)", value)
        if whole:
            return variables[whole.group(1)]
        return re.sub(r"\$\{([a-z][a-z0-9_]*)\}", lambda match: str(variables[match.group(1)]), value)
    if isinstance(value, list):
        return [fill(item, variables) for item in value]
    if isinstance(value, dict):
        return {fill(key, variables) if "${" in key else key: fill(item, variables) for key, item in value.items()}
    return value


def pick(value, path):
    for part in path.split("."):
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value
