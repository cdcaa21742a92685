"""Configuration: Karton's files and environment (docs/configuration.md, parity E1-E4, S22-S24)."""
from __future__ import annotations

import configparser
import difflib
import os
import re
import warnings
from typing import Any, Dict, List, Optional, Tuple, overload

from ._tables import OPTIONS, SECTIONS
from .exceptions import ConfigError

_ENVIRONMENT = re.compile(r"KARTON_([A-Z0-9\-\.]+)_([A-Z0-9_]+)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(text: Any) -> float:
    """Seconds of ``5``, ``5s``, ``200ms``, ``1h``."""
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        return float(text)
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?\s*", str(text))
    if not found:
        raise ValueError(f'"{text}" is no duration; write a number with ms, s, m, h or d')
    return float(found.group(1)) * _UNITS[found.group(2) or "s"]


class Config:
    """Read in this order, later over earlier: ``/etc/karton/karton.ini``, ``~/.config/karton/karton.ini``,
    ``./karton.ini``, the file that ``KARTON_CONFIG_FILE`` names, ``path``, ``KARTON_<SECTION>_<OPTION>``.

    :param path: one more file
    :param check_sections: taken as Karton has it; no section is required here
    """

    SEARCH_PATHS = ["/etc/karton/karton.ini", os.path.expanduser("~/.config/karton/karton.ini"), "./karton.ini"]

    def __init__(self, path: Optional[str] = None, check_sections: Optional[bool] = True) -> None:
        self._config: Dict[str, Dict[str, Any]] = {}
        self._origins: Dict[Tuple[str, str], str] = {}
        paths = list(self.SEARCH_PATHS)
        named = os.getenv("KARTON_CONFIG_FILE")
        for extra in (named, path):
            if extra:
                if not os.path.isfile(extra):
                    raise IOError(f"Configuration file not found in {extra}")
                paths.append(extra)
        self.SEARCH_PATHS = paths
        self._load_from_file(paths)
        self._load_from_env()

    # ---- As Karton's

    def set(self, section_name: str, option_name: str, value: Any) -> None:
        """Sets an option."""
        self._config.setdefault(section_name, {})[option_name] = value
        self._config_origins().pop((section_name, option_name), None)

    def get(self, section_name: str, option_name: str, fallback: Any = None) -> Any:
        """An option as it was set, mostly a text; ``fallback`` if there is none."""
        return self._config.get(section_name, {}).get(option_name, fallback)

    def has_section(self, section_name: str) -> bool:
        """Whether there is such a section."""
        return section_name in self._config

    def has_option(self, section_name: str, option_name: str) -> bool:
        """Whether it is set."""
        return option_name in self._config.get(section_name, {})

    @overload
    def getint(self, section_name: str, option_name: str, fallback: int) -> int: ...

    @overload
    def getint(self, section_name: str, option_name: str, fallback: Optional[int] = None) -> Optional[int]: ...

    def getint(self, section_name: str, option_name: str, fallback: Optional[int] = None) -> Optional[int]:
        """As a whole number; ValueError if it is none."""
        value = self.get(section_name, option_name, fallback)
        return None if value is None else int(value)

    @overload
    def getboolean(self, section_name: str, option_name: str, fallback: bool) -> bool: ...

    @overload
    def getboolean(self, section_name: str, option_name: str, fallback: Optional[bool] = None) -> Optional[bool]: ...

    def getboolean(self, section_name: str, option_name: str, fallback: Optional[bool] = None) -> Optional[bool]:
        """``1 yes true on`` or ``0 no false off``; ValueError for anything else."""
        value = self.get(section_name, option_name, fallback)
        if value is None or type(value) is bool:
            return value
        if type(value) is str and value.lower() in ("1", "yes", "true", "on"):
            return True
        if type(value) is str and value.lower() in ("0", "no", "false", "off"):
            return False
        raise ValueError(f"{section_name}.{option_name} is not a correct boolean")

    def append_to_list(self, section_name: str, option_name: str, value: Any) -> None:
        """Appends to an option that is a list."""
        values = self._config.setdefault(section_name, {}).setdefault(option_name, [])
        if not isinstance(values, list):
            raise TypeError(f"{section_name}.{option_name} is {type(values)} while list was expected")
        values.append(value)

    def load_from_dict(self, data: Dict[str, Dict[str, Any]]) -> None:
        """Sets all of ``{section: {option: value}}``; None is as if it were not there."""
        for section_name, section in data.items():
            for option_name, value in section.items():
                if value is not None:
                    self.set(section_name, option_name, value)

    def __getitem__(self, section: str) -> Dict[str, Any]:
        return self._config[section]

    # ---- Beyond it

    def items(self, section_name: str) -> List[Tuple[str, Any]]:
        """All options of a section."""
        if section_name not in self._config:
            raise configparser.NoSectionError(section_name)
        return list(self._config[section_name].items())

    @property
    def config(self) -> Config:
        """For classes written when the configuration was a ConfigParser inside: ``self.config.items("mwdb")``."""
        return self

    def getduration(self, section_name: str, option_name: str, fallback: Optional[float] = None) -> Optional[float]:
        """In seconds."""
        value = self.get(section_name, option_name, fallback)
        if value is None:
            return None
        try:
            return parse_duration(value)
        except ValueError as error:
            raise ConfigError(f"{self.origin(section_name, option_name)}: [{section_name}] {option_name}: {error}"
                              ) from None

    def origin(self, section_name: str, option_name: str) -> str:
        """Where it was set: ``./karton.ini:2``, ``environment``, ``program``, ``default``."""
        if not self.has_option(section_name, option_name):
            return "default"
        return self._config_origins().get((section_name, option_name), "program")

    def _config_origins(self) -> Dict[Tuple[str, str], str]:
        # A subclass that does not call __init__, as Karton's ConfigMock, has none.
        origins: Dict[Tuple[str, str], str] = self.__dict__.setdefault("_origins", {})
        return origins

    # ---- Reading

    def _load_from_file(self, paths: List[str]) -> None:
        merged = configparser.ConfigParser()
        origins: Dict[Tuple[str, str], str] = {}
        for path in paths:
            if not os.path.isfile(path):
                continue
            one = configparser.ConfigParser(interpolation=None)
            try:
                one.read(path)
                merged.read(path)
            except configparser.Error as error:
                raise ConfigError(str(error).replace("\n", " ")) from None
            lines = _lines_of(path)
            for section_name in one.sections():
                for option_name in one[section_name]:
                    place = f"{path}:{lines.get((section_name, option_name), '?')}"
                    origins[section_name, option_name] = place
                    if option_name in one.defaults():
                        continue
                    _check_known(section_name, option_name, place)
        self.load_from_dict({name: dict(merged[name]) for name in merged.sections()})
        self._config_origins().update(origins)

    def _load_from_env(self) -> None:
        for name, value in os.environ.items():
            found = _ENVIRONMENT.fullmatch(name)
            if found and name != "KARTON_CONFIG_FILE":
                section_name, option_name = (text.lower() for text in found.groups())
                _check_known(section_name, option_name, name)
                self.set(section_name, option_name, value)
                self._config_origins()[section_name, option_name] = name


def _lines_of(path: str) -> Dict[Tuple[str, str], int]:
    lines: Dict[Tuple[str, str], int] = {}
    section = ""
    with open(path, encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            if line.startswith("["):
                section = line[1:].partition("]")[0]
            elif line[:1] not in (" ", "\t", "#", ";", "\n"):
                lines[section, re.split(r"[=:]", line, maxsplit=1)[0].strip().lower()] = number
    return lines


def _check_known(section_name: str, option_name: str, place: str) -> None:
    """Unknown options of our sections are errors, of [karton] and [logging] warnings, elsewhere free."""
    how = SECTIONS.get(section_name)
    if how is None or f"{section_name}.{option_name}" in OPTIONS:
        return
    known = [name.partition(".")[2] for name in OPTIONS if name.startswith(section_name + ".")]
    near = difflib.get_close_matches(option_name, known, 1)
    text = f"{place}: [{section_name}] {option_name}: unknown"
    hint = f'. Did you mean "{near[0]}"?' if near else ""
    if how == "error":
        raise ConfigError(text + hint)
    warnings.warn(text + hint, stacklevel=4)
