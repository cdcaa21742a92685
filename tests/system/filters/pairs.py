"""Random filters with headers that they are about: every operator, odd values, wildcards, regexes, dotted keys."""
import random

KEYS = ["a", "b", "kind", "tags", "a.b", "a.0", "a.0.b", "tags.0", "tags.-1", "a.b.c", "", "a.", ".a", "é", "k\u0000y", "$",
        "b. 1", "a.1_0", "b.+0", "b.٣"]
COMMON = ["a", "b", "kind", "tags"]
TEXTS = ["", "x", "y", "win32", "linux", "!linux", "windows", "1", "20", "20.0", "True", "False", "None", "a\nb", "a", "ab", "abc",
         "é", "\U0001f600", "\ud800", "a\u0000b", "2*", "[x]", "{'a': 1}", "['a', 'b']", "[1, 2]", "[]", "{}", "nan", "1e+16",
         "it's", "say \"hi\"", "['it\\'s \"x\"']", "a!b", "100%", "%d", "aaaa", "aaaaaaaaab", "foo bar", "foo\n", "FOO", "ÉTÉ",
         "\u2028", "\x1c", "1111", "a.b", "$or", "b", "-", "z-a", "tiff", "12", "0x1f", "\x85", "ſ", "x-y_z", "[1, None]"]
NUMBERS = [0, 1, -1, 2, 3, 20, 20.0, 1.5, -0.0, 0.1, 1e16, 1e300, float("inf"), float("-inf"), float("nan"), 2**53, 2**53 + 1,
           2**63 - 1, -2**63, 2**63, 2**64, -2**70, 10**25, 1e25, True, False, 5e-324]
GLOB_PIECES = ["*", "?", "[ab]", "[!ab]", "[a-c]", "[!a-c]", "[]]", "[!]]", "[", "]", "!", "[z-a]", "[a-]", "[-a]", "[^a]", "[!]",
               "[a-c-e]", "[[]", "[\\]", "[z-a!x]", "[b-a^-c]", "[&&]", "[~|]", "[a--]", "[é]", "[!z-a]", "x", "win", "linux", "a",
               "b", "\n", ".", "\\", "(", "é", "[--a]", "[!-]", "[x-z-b-a]", "**", "[!!]", "[a\\-c]", "[[:alpha:]]"]
WRONG = [{"$foo": 1}, {"$where": "x"}, {"$in": "x"}, {"$in": 3}, {"$mod": 3}, {"$mod": [0, 1]}, {"$regex": "("}, {"$regex": 3},
         {"$type": "strng"}, {"$type": []}, {"$size": "x"}, {"$and": 3}, {"$or": {"a": 1}}, {"$text": 1}, {"$nin": None},
         {"$regex": "x", "$options": "i"}, {"$elemMatch": 3}, {"$all": 3}, {"$not": {"$bar": 2}}, {"$": 1}]
PATH_PARTS = ["a", "b", "c", "0", "1", "-1", "x", ""]


def text(rng):
    if rng.random() < 0.85:
        return rng.choice(TEXTS)
    return "".join(rng.choice("ab01 .!*?[]-é\n'\"\\%x") for _ in range(rng.randrange(6)))


def scalar(rng):
    kind = rng.random()
    if kind < 0.55:
        return text(rng)
    return rng.choice(NUMBERS) if kind < 0.93 else None


def value(rng, depth=0):
    kind = rng.random()
    if depth >= 3 or kind < 0.6:
        return scalar(rng)
    if kind < 0.82:
        return [value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {rng.choice(PATH_PARTS + COMMON): value(rng, depth + 1) for _ in range(rng.randrange(4))}


def key(rng):
    kind = rng.random()
    if kind < 0.6:
        return rng.choice(COMMON)
    if kind < 0.85:
        return rng.choice(KEYS)
    return rng.choice(COMMON) + "." + ".".join(rng.choice(PATH_PARTS) for _ in range(rng.randrange(1, 4)))


def glob(rng):
    return "".join(rng.choice(GLOB_PIECES) for _ in range(rng.randrange(1, 5)))


def regex_atom(rng, state, depth):
    kind = rng.random()
    if kind < 0.45:
        return rng.choice(["a", "b", "x", "1", "\\.", " ", "é", "-", "foo", "\\n", "\\x61", "\\u00e9", "]", "{", "\\-", "}", ",", "!"])
    if kind < 0.6:
        return rng.choice([".", "\\d", "\\w", "\\s", "\\D", "\\W", "\\S"])
    if kind < 0.78:
        return rng.choice(["[ab]", "[^ab]", "[a-f0-9]", "[\\w-]", "[\\s\\d]", "[^\\s]", "[^\\S\\n]", "[]x]", "[^]x]", "[\\]\\\\]", "[a\\-z]",
                           "[.*+]", "[\\x00-\\x1f]", "[é-ü]", "[\\b]", "[[a]", "[\\D]", "[^\\W\\d]", "[\\141b]"])
    if kind < 0.82:
        return rng.choice(["\\b", "\\B", "^", "$", "\\A", "\\Z"])
    if depth > 2:
        return "a"
    inner = regex(rng, state, depth + 1)
    if kind < 0.87:
        return f"(?:{inner})"
    if kind < 0.93:
        state["groups"] += 1
        return f"({inner})" if rng.random() < 0.6 else f"(?P<g{state['groups']}>{inner})"
    return rng.choice([f"(?={inner})", f"(?!{inner})", "(?<=a)", "(?<!ab)", "(?<=[xy])", f"(?i:{inner})", f"(?s-i:{inner})",
                       f"(?>{inner})", "(?#note)", "(?<=a|b)"])


def regex(rng, state=None, depth=0):
    state = state if state is not None else {"groups": 0}
    pieces = []
    for _ in range(rng.randrange(1, 4)):
        atom = regex_atom(rng, state, depth)
        if rng.random() < 0.35 and atom not in ("\\b", "\\B", "^", "$", "\\A", "\\Z", "(?#note)"):
            if len(atom) > 1 and atom[0] not in "\\[(":
                atom = f"(?:{atom})"
            if atom[:3] not in ("(?=", "(?!", "(?<"):
                atom += rng.choice(["*", "+", "?", "{2}", "{1,3}", "{,2}", "{0,}", "*?", "+?", "??", "{1,2}?", "*+", "{2}+"])
        pieces.append(atom)
    joined = "".join(pieces)
    if rng.random() < 0.15:
        joined += "|" + rng.choice(["", "b", "foo", "x+$"])
    return joined


def top_regex(rng):
    if rng.random() < 0.1:
        return rng.choice(["^(11+?)\\1+$", "^(a+)\\1$", "(?P<q>['\"]).*(?P=q)", "(a)?b(?(1)c|d)", "(?i)FOO", "(?s)a.b", "(?m)^b$", "(?x) a b # c",
                           "^$", "", "(?ms)^.*$", "(.)(?=\\1)", "(?im)^foo$", "((a)|b)+", "/", "//", "/a/", "/a/b/", "(?i)été", "a{,}",
                           "x{1", "^\\s*$", "^[^\\W_]+$", "(a|ab)(c|bcd)?$", "\\Aa\\Z", "$^", "a$", "(?:a|)+b"])
    pattern = regex(rng)
    if rng.random() < 0.2:
        return f"/{pattern}/" + "".join(rng.sample("imsx", rng.randrange(0, 4)))
    return pattern


def operator(rng, depth):
    name = rng.choice(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$and", "$or", "$not", "$nor", "$in", "$nin", "$all", "$elemMatch",
                       "$size", "$type", "$mod", "$regex", "$regex", "$exists"])
    if name in ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte"):
        return name, value(rng, 1)
    if name in ("$and", "$or", "$nor", "$all"):
        if rng.random() < 0.05:
            return name, text(rng)
        return name, [condition(rng, depth + 1) for _ in range(rng.randrange(4))]
    if name == "$not":
        return name, condition(rng, depth + 1)
    if name in ("$in", "$nin"):
        return name, [value(rng, 2) for _ in range(rng.randrange(5))]
    if name == "$elemMatch":
        return name, conditions(rng, depth + 1)
    if name == "$size":
        return name, rng.choice([0, 1, 2, 3, True, 2**70])
    if name == "$type":
        return name, rng.choice(["double", "string", "object", "array", "binData", "objectId", "bool", "date", "null", "regex", "javascript",
                                 "javascriptWithScope", "int", "timestamp", "long", "number", 1, 2, 3, 4, 5, 8, 10, 16, 18, 2.0, True])
    if name == "$mod":
        return name, [rng.choice([2, 3, -3, 1, 0.5, 2.5, 7, -1, 2**40, True]), rng.choice([0, 1, 2, -1, 0.5, 0.0, True, 2**65])]
    if name == "$regex":
        return name, top_regex(rng)
    return name, rng.choice([True, False, True, False, 1, 0, None, "x", 2, [], float("nan")])


def conditions(rng, depth):
    """A map of operators or of keys."""
    made = {}
    for _ in range(rng.choice([1, 1, 1, 2, 2, 0])):
        if rng.random() < 0.75:
            name, operand = operator(rng, depth)
        else:
            name, operand = rng.choice(PATH_PARTS + COMMON + ["a.b", "b.0"]), condition(rng, depth + 1)
        made[name] = operand
    return made


def condition(rng, depth=0):
    if depth < 4 and rng.random() < 0.55:
        if rng.random() < 0.02:
            return rng.choice(WRONG)
        return conditions(rng, depth)
    return value(rng, 1)


def rule(rng):
    made = {}
    for _ in range(rng.choice([1, 1, 1, 2, 2, 3, 0])):
        kind = rng.random()
        if kind < 0.05:
            name = rng.choice(["$and", "$or", "$nor"])
            made[name] = [rule(rng) for _ in range(rng.randrange(3))]
        elif kind < 0.07:
            made["$not"] = rule(rng)
        elif kind < 0.08:
            name, operand = operator(rng, 2)
            made[name] = operand
        elif kind < 0.3:
            made[key(rng)] = rng.choice(["", "!"]) + text(rng)
        elif kind < 0.5:
            made[key(rng)] = rng.choice(["", "", "!"]) + glob(rng)
        else:
            made[key(rng)] = condition(rng)
    return made


def literals(filters):
    """What the filters ask for: headers made of these are about them."""
    if isinstance(filters, dict):
        for name, inner in filters.items():
            yield from literals(inner)
            if not name.startswith("$"):
                yield name
    elif isinstance(filters, list):
        yield filters
        for inner in filters:
            yield from literals(inner)
    else:
        yield filters


def put(headers, path, wanted):
    parts = path.split(".")
    for part in parts[:-1]:
        inner = headers.get(part)
        if not isinstance(inner, dict):
            inner = headers[part] = {}
        headers = inner
    headers[parts[-1]] = wanted


def near(rng, wanted):
    """The value itself or something like it."""
    kind = rng.random()
    if isinstance(wanted, str) and kind < 0.35:
        return wanted.removeprefix("!").replace("*", rng.choice(["", "x"])).replace("?", "a")
    if kind < 0.6:
        return wanted
    if kind < 0.75:
        return [wanted] if rng.random() < 0.5 else [scalar(rng), wanted, scalar(rng)]
    if kind < 0.85:
        return str(wanted)
    return value(rng)


def short_text(rng, alphabet):
    return "".join(rng.choice(alphabet) for _ in range(rng.randrange(9)))


def regex_pair(rng):
    """Patterns on texts that are made of what patterns are made of."""
    pattern = top_regex(rng)
    if rng.random() < 0.1 and pattern:
        at = rng.randrange(len(pattern))
        pattern = pattern[:at] + rng.choice(["", "(", ")", "[", "]", "*", "{", "\\", "?", "|", "^"]) + pattern[at + rng.randrange(2):]
    header = short_text(rng, ["a", "a", "b", "x", "1", "1", " ", "é", "É", "-", "foo", "FOO", "\n", ".", "]", "{", "A", "c", "\t", "_", "\x1c",
                              "\ud800", "\u2028", "\u0663", "\u00b2"])
    return {"filters": [{"a": rng.choice([{"$regex": pattern}, {"$not": {"$regex": pattern}}])}], "headers": {"a": header}}


def glob_pair(rng):
    pattern = rng.choice(["", "!"]) + glob(rng)
    header = short_text(rng, ["a", "b", "c", "x", "win", "linux", "-", "]", "[", "!", "\\", "^", "é", "\n", "(", "&", "z", "y", ".", "\ud800"])
    return {"filters": [{"a": pattern}], "headers": {"a": header}}


def random_pair(rng):
    kind = rng.random()
    if kind < 0.2:
        return regex_pair(rng)
    if kind < 0.3:
        return glob_pair(rng)
    return tree_pair(rng)


def tree_pair(rng):
    filters = [rule(rng) for _ in range(rng.choice([1, 1, 1, 2, 2, 3, 0]))]
    headers = {}
    asked = [name for made in filters for name in made if not name.startswith("$")]
    wanted = list(literals(filters)) or [""]
    for name in asked + [rng.choice(COMMON)]:
        kind = rng.random()
        if kind < 0.15:
            continue
        found = near(rng, rng.choice(wanted)) if kind < 0.7 else value(rng)
        if "." in name and rng.random() < 0.7:
            put(headers, name, found)
        else:
            headers[name] = found
    return {"filters": filters, "headers": headers}
