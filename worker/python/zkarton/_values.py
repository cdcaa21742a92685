"""Values on the wire (docs/protocol, "Values"): msgpack as wide as Python's json.

The common case runs in msgpack's C code; only what it cannot say (whole numbers beyond 64 bits, texts with lone
surrogates, keys that are no texts) takes a walk in Python.
"""
from __future__ import annotations

import os
import uuid
from typing import Any, Callable, Dict, Optional, Set


from . import _msgpack as msgpack
from ._tables import LIMITS
from .exceptions import TooLargeError

DEPTH_MAX = LIMITS["VALUE_DEPTH"]
DIGITS_MAX = LIMITS["BIGINT_DIGITS"]
# 10 ** 16384 has 54427 bits: what has fewer needs no counting of digits.
_SMALL_BITS = 54000

EXT_BIGINT = 1
EXT_TEXT = 2
EXT_RESOURCE = 3

_SCALARS = frozenset((str, int, float, bool, type(None)))

IndexOf = Callable[[Any], Optional[int]]
ResourceAt = Callable[[int], Any]


class _Odd(Exception):
    """The value needs the slow way."""


def _int_text(number: int) -> str:
    try:
        return str(number)
    except ValueError:  # Python's own limit on digits, 4300 unless set otherwise
        sign, number = ("-", -number) if number < 0 else ("", number)
        parts = []
        base = 10 ** 4000
        while number:
            number, rest = divmod(number, base)
            parts.append(str(rest).rjust(4000, "0"))
        return sign + ("".join(reversed(parts)).lstrip("0") or "0")


def _int_of(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        if not (text.isascii() and text.lstrip("-").isdigit()):
            raise
        digits = text.lstrip("-")
        number = 0
        for at in range(0, len(digits), 4000):
            part = digits[at:at + 4000]
            number = number * 10 ** len(part) + int(part)
        return -number if text.startswith("-") else number


def pack_bigint(number: int) -> Any:
    """A whole number that has no form in msgpack."""
    if number.bit_length() > _SMALL_BITS and len(_int_text(abs(number))) > DIGITS_MAX:
        raise TooLargeError(f"an integer has more than {DIGITS_MAX} digits")
    return msgpack.ExtType(EXT_BIGINT, _int_text(number).encode())


def pack_resource(index: int) -> Any:
    """A reference to the resource of that index."""
    return msgpack.ExtType(EXT_RESOURCE, index.to_bytes(4, "big"))


def key_text(key: Any, path: str) -> str:
    """How json.dumps spells a key (T3)."""
    if isinstance(key, str):
        return key
    if key is True:
        return "true"
    if key is False:
        return "false"
    if key is None:
        return "null"
    if isinstance(key, int):
        return int.__repr__(key)
    if isinstance(key, float):
        if key != key:
            return "NaN"
        if key in (float("inf"), float("-inf")):
            return "Infinity" if key > 0 else "-Infinity"
        return float.__repr__(key)
    raise TypeError(f"{path}: a key is {type(key).__name__}, not a text")


def _is_plain(value: Any, path: str, index_of: IndexOf, depth: int) -> bool:
    """Looks at containers once: False if something needs the slow way. Raises TypeError with the path."""
    if depth > DEPTH_MAX:
        raise TooLargeError(f"{path}: nested deeper than {DEPTH_MAX}")
    plain = True
    if isinstance(value, dict):
        items: Any = value.items()
        for key in value:
            if type(key) is not str:
                if not isinstance(key, str):
                    key_text(key, path)
                plain = False
    else:
        items = enumerate(value)
    for key, item in items:
        kind = type(item)
        if kind in _SCALARS:
            continue
        if kind is dict or kind is list or kind is tuple or isinstance(item, (dict, list, tuple)):
            plain = _is_plain(item, f"{path}.{key}", index_of, depth + 1) and plain
        elif isinstance(item, (str, int, float)):
            plain = False  # a subclass, such as an enumeration
        elif index_of(item) is None:
            raise TypeError(f"{path}.{key}: {_advice(item)}")
    return plain


def _advice(value: Any) -> str:
    """What to send in place of what cannot be sent."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        instead = "send bytes as a Resource"
    elif isinstance(value, (set, frozenset)):
        instead = "send a list"
    elif hasattr(value, "isoformat"):
        instead = "send its isoformat()"
    elif isinstance(value, (uuid.UUID, os.PathLike)):
        instead = "send a text, its str()"
    else:
        instead = "send a text, a number, a list or a dict"
    return f"{type(value).__name__} cannot be sent; {instead}"


def _ring(value: Any, path: str, above: Dict[int, None], seen: Set[int]) -> Optional[str]:
    """The path of a container that is inside of itself."""
    if not isinstance(value, (dict, list, tuple)) or id(value) in seen or len(above) > DEPTH_MAX:
        return None
    if id(value) in above:
        return path
    above[id(value)] = None
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        found = _ring(item, f"{path}.{key}", above, seen)
        if found is not None:
            return found
    del above[id(value)]
    seen.add(id(value))
    return None


def normal(value: Any) -> Any:
    """A copy that msgpack packs as the wire wants it."""
    return _normal(value, _no_index)


def _no_index(_item: Any) -> Optional[int]:
    return None


def _normal(value: Any, index_of: IndexOf) -> Any:
    """A copy in which everything has its own form on the wire."""
    if value is None or value is True or value is False:
        return value
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return msgpack.ExtType(EXT_TEXT, _wtf8(value))
        return str.__str__(value)
    if isinstance(value, int):
        number = int(value)
        return number if -(1 << 63) <= number < 1 << 64 else pack_bigint(number)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, dict):
        return {_normal_key(key): _normal(item, index_of) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_normal(item, index_of) for item in value]
    index = index_of(value)
    return value if index is None else pack_resource(index)


def _wtf8(text: str) -> bytes:
    """UTF-8 in which only lone surrogates are encoded as if they were characters."""
    joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    return joined.encode("utf-8", "surrogatepass")


def _normal_key(key: Any) -> Any:
    text = key_text(key, "key")
    try:
        text.encode()
    except UnicodeEncodeError:
        return msgpack.ExtType(EXT_TEXT, _wtf8(text))
    return str.__str__(text)


def pack_value(value: Any, path: str = "value", index_of: IndexOf = _no_index) -> bytes:
    """One value. ``index_of`` tells the index of a resource, None: it is none.

    Raises TypeError that names the path of what cannot be sent, TooLargeError beyond the limits.
    """
    kind = type(value)
    plain = True
    if kind not in _SCALARS:
        if not isinstance(value, (dict, list, tuple, str, int, float)) and index_of(value) is None:
            raise TypeError(f"{path}: {_advice(value)}")
        if isinstance(value, (dict, list, tuple)):
            try:
                plain = _is_plain(value, path, index_of, 1)
            except TooLargeError:
                ring = _ring(value, path, {}, set())
                if ring is not None:
                    raise ValueError(f"{ring}: contains itself") from None
                raise
        else:
            plain = False

    def default(item: Any) -> Any:
        if isinstance(item, int):
            return pack_bigint(item)
        index = index_of(item)
        if index is None:
            raise _Odd
        return pack_resource(index)

    if plain:
        try:
            return msgpack.packb(value, default=default)
        except (UnicodeEncodeError, _Odd):
            pass
    return msgpack.packb(_normal(value, index_of))


def _ext_hook(code: int, data: bytes) -> Any:
    if code == EXT_TEXT:
        return data.decode("utf-8", "surrogatepass")
    if code == EXT_BIGINT:
        text = data.decode("ascii")
        if len(text) > DIGITS_MAX + 1 or not text.lstrip("-").isdigit() or text.count("-") > 1:
            raise ValueError("ext 1 is no whole number")
        return _int_of(text)
    raise ValueError(f"ext {code} has no meaning here")


def unpack(data: bytes) -> Any:
    """A frame or a value without references to resources."""
    return msgpack.unpackb(data, ext_hook=_ext_hook, strict_map_key=False)


def unpack_bag(data: Optional[bytes], resource_at: ResourceAt) -> Any:
    """A payload bag: references become ``resource_at(index)``."""
    if not data:
        return {}

    def hook(code: int, content: bytes) -> Any:
        if code == EXT_RESOURCE and len(content) == 4:
            return resource_at(int.from_bytes(content, "big"))
        return _ext_hook(code, content)

    return msgpack.unpackb(data, ext_hook=hook, strict_map_key=False)


def merge_bags(parent_persistent: Any, payload: Any, persistent: Any) -> None:
    """A3: the parent's persistent payload over the child's, in place (vectors/merge.json)."""
    for name, content in parent_persistent.items():
        persistent[name] = content
        payload.pop(name, None)


def array_head(count: int) -> bytes:
    """The first bytes of a msgpack list."""
    if count < 16:
        return bytes((0x90 | count,))
    return b"\xdc" + count.to_bytes(2, "big") if count < 65536 else b"\xdd" + count.to_bytes(4, "big")
