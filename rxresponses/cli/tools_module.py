"""The tools in a module of the user."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING

from ..conversations.toolset import ClientTool
from ..errors import ConfigurationError
from ..structured.function import CallableTool
from .error_line import error_line

if TYPE_CHECKING:
    from ..conversations.toolset import AnyTool


def load_tools(names: Iterable[str]) -> list[AnyTool]:
    """Return the tools of modules, each given by its name or by the path of its file.

    The tools of a module are its list `tools`, if it has one; otherwise all objects that `tool` has made in it, in the
    order in which the module defines them.  Raises `ConfigurationError` for a module that cannot be loaded or has no
    tools.
    """
    return [tool for name in names for tool in _tools_of(_load(name), name)]


def _tools_of(module: ModuleType, name: str) -> Sequence[AnyTool]:
    listed = getattr(module, "tools", None)
    if isinstance(listed, (list, tuple)):
        found = list(listed)
    else:
        values = vars(module).values()
        found = list(dict.fromkeys(value for value in values if isinstance(value, (CallableTool, ClientTool))))
    if not found:
        raise ConfigurationError(
            f"{name} has no tools: decorate functions with `@tool`, or name them in a list `tools`"
        )
    return found


def _load(name: str) -> ModuleType:
    is_file = name.endswith(".py") or os.sep in name
    # A module of the user can import the modules beside it, as when Python runs it.
    folder = os.path.dirname(os.path.abspath(name)) if is_file else os.getcwd()
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        return _load_file(name) if is_file else importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise ConfigurationError(f"cannot load the tools of {name}: {error_line(error)}") from error


def _load_file(path: str) -> ModuleType:
    name = os.path.abspath(path)  # not its stem, which may be the name of a module of Python
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError("the name of the file does not end with .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where the annotations of its classes are looked up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
