"""Reference entries for what a cell defines; Sphinx fills them from the docstrings."""

import ast
from typing import NamedTuple


class Name(NamedTuple):
    """A public function or class of a module."""

    path: str  # chromoformer.data.store.Store
    kind: str  # "function" or "class"
    summary: str  # first line of the docstring


def public_names(source: str, module: str) -> list[Name]:
    """Return the public functions and classes that a piece of code defines.

    Parameters
    ----------
    source : str
        Code of an exported cell.
    module : str
        The module that the cell is exported to.

    Returns
    -------
    list of Name
        In the order of the code.
    """
    found = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            kind = "class" if isinstance(node, ast.ClassDef) else "function"
            summary = (ast.get_docstring(node) or "").partition("\n")[0]
            found.append(Name(f"{module}.{node.name}", kind, summary))
    return found


def entries(source: str, module: str) -> str:
    """Return MyST directives that document what a piece of code defines.

    Parameters
    ----------
    source : str
        Code of an exported cell.
    module : str
        The module that the cell is exported to.

    Returns
    -------
    str
        One directive per public name; empty if there is none.
    """
    directives = []
    for name in public_names(source, module):
        options = "\n   :members:" if name.kind == "class" else ""
        directives.append(f"```{{eval-rst}}\n.. auto{name.kind}:: {name.path}{options}\n```")
    return "\n\n".join(directives)
