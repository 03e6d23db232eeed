"""The file of a script: JSON, or YAML if PyYAML is installed."""

from __future__ import annotations

import json
import os
from importlib import import_module
from pathlib import Path
from typing import Any

from .script import Script, ScriptError, read_script


def load_script(path: str | os.PathLike[str]) -> Script:
    """Read a script.  A file named `*.json`, or that begins with `{` and is not named as YAML, is JSON.

    Raises:
        OSError: if the file cannot be read.
        ScriptError: if it is neither JSON nor YAML, or is no script.  The error names the place.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
        is_yaml = path.suffix.lower() in (".yaml", ".yml")
        is_json = path.suffix.lower() == ".json" or (not is_yaml and text.lstrip().startswith("{"))
        return read_script(_from_json(text) if is_json else _from_yaml(text))
    except (ValueError, RecursionError) as error:  # of the codecs too
        raise ScriptError(f"{path}: {error}") from None


def _from_json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_unique)


def _from_yaml(text: str) -> Any:
    try:
        yaml: Any = import_module("yaml")
    except ImportError:
        advice = "Install it, for example with pip install 'rxresponses[cli]', or write the script as JSON."
        raise ScriptError(f"a script in YAML needs PyYAML. {advice}") from None

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        """Refuses a key that a mapping has twice; PyYAML keeps the last one."""

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            pairs = node.value if isinstance(node, yaml.MappingNode) else ()
            seen: set[str] = set()
            for key in [key for key, _ in pairs if isinstance(key, yaml.ScalarNode)]:
                if key.value in seen:
                    raise ScriptError(f"line {key.start_mark.line + 1}: {key.value!r} is there twice")
                seen.add(key.value)
            return super().construct_mapping(node, deep=deep)

    try:
        return yaml.load(text, Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
        raise ScriptError(f"{where}not YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ScriptError(f"not YAML: {error}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ScriptError(f"{twice!r} is there twice in a mapping")
    return value
