"""Entries of the API reference, read off the source: signature, shapes and units from the comments, docstring."""

import ast
import io
import tokenize


def entries(source: str, module: str) -> str:
    "MyST directives of the Python domain for every public function and class that a cell defines."
    tree, comments = ast.parse(source), _comments(source)
    found = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            found.append(_function(node, comments, "function", f"{module}.{node.name}"))
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            found.append(_class(node, comments, f"{module}.{node.name}"))
    return "\n\n".join(found)


def _comments(source: str) -> dict[int, str]:
    "Line -> what its comment says; remarks for tools are left out."
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    texts = {
        token.start[0]: token.string.lstrip("# ").split("# fmt:")[0].strip()
        for token in tokens
        if token.type == tokenize.COMMENT
    }
    return {
        line: text
        for line, text in texts.items()
        if not text.startswith(("fmt:", "noqa", "type:", "pyright:"))
    }


def _cell(text: str) -> str:
    "Text that stays inside of a cell of a Markdown table."
    return text.replace("|", "\\|").replace("\n", " ")


def _plain(text: str) -> str:
    "Words in which signs mean nothing but themselves."
    return _cell("".join(f"\\{sign}" if sign in "*<$" else sign for sign in text))


def _code(text: str) -> str:
    return f"`{_cell(text)}`" if text else ""


def _help(annotation: ast.expr | None) -> tuple[str, str]:
    "Type and help; commands say both in `Annotated[type, typer.Option(help=...)]`."
    if annotation is None:
        return "", ""
    if (
        isinstance(annotation, ast.Subscript)
        and ast.unparse(annotation.value) == "Annotated"
        and isinstance(annotation.slice, ast.Tuple)
    ):
        kind, option = annotation.slice.elts[:2]
        said = next((word.value for word in getattr(option, "keywords", []) if word.arg == "help"), None)
        return ast.unparse(kind), ast.literal_eval(said) if said is not None else ""
    return ast.unparse(annotation), ""


def _table(rows: list[tuple[str, str, str, str]], first: str) -> list[str]:
    if not rows:
        return []
    lines = [f"| {first} | Type | Default | |", "| --- | --- | --- | --- |"]
    return [
        *lines,
        *(
            f"| {_code(name)} | {_code(kind)} | {_code(default)} | {_plain(said)} |"
            for name, kind, default, said in rows
        ),
    ]


def _alone(node: ast.AST, nodes: list, comments: dict[int, str]) -> str:
    "The comment beside a node that has its line for itself; of several on a line, the last has it."
    line = getattr(node, "end_lineno", 0)
    beside = [other for other in nodes if other.end_lineno == line]
    return comments.get(line, "") if beside and beside[-1] is node else ""


def _arguments(
    node: ast.FunctionDef, comments: dict[int, str]
) -> tuple[str, list[tuple[str, str, str, str]]]:
    "The signature in short, and a row of the table for each argument."
    arguments = node.args
    plain = arguments.posonlyargs + arguments.args
    defaults = [None] * (len(plain) - len(arguments.defaults)) + list(arguments.defaults)
    pairs = [("", arg, default) for arg, default in zip(plain, defaults)]
    if arguments.vararg:
        pairs.append(("*", arguments.vararg, None))
    elif arguments.kwonlyargs:
        pairs.append(("*", None, None))
    pairs += [("", arg, default) for arg, default in zip(arguments.kwonlyargs, arguments.kw_defaults)]
    if arguments.kwarg:
        pairs.append(("**", arguments.kwarg, None))
    pairs = [pair for pair in pairs if pair[1] is None or pair[1].arg not in ("self", "cls")]
    ends = [default or arg for _, arg, default in pairs if arg is not None]
    head_line = node.returns.end_lineno if node.returns is not None else 0
    signature, rows = [], []
    for star, arg, default in pairs:
        if arg is None:
            signature.append("*")
            continue
        value = ast.unparse(default) if default is not None else ""
        signature.append(star + arg.arg + (f"={value}" if value else ""))
        kind, said = _help(arg.annotation)
        end = default or arg
        beside = _alone(end, ends, comments) if end.end_lineno != head_line else ""
        rows.append((star + arg.arg, kind, value, said or beside))
    return ", ".join(signature), rows


def _function(
    node: ast.FunctionDef, comments: dict[int, str], role: str, name: str, fence: str = "````"
) -> str:
    signature, rows = _arguments(node, comments)
    returns = ast.unparse(node.returns) if node.returns is not None else ""
    decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
    said = comments.get(node.returns.end_lineno, "") if node.returns is not None else ""
    lines = [f"{fence}{{py:{role}}} {name}({signature})"]
    lines += [
        f":{option}:"
        for option in ("classmethod", "staticmethod")
        if option in decorators and role == "method"
    ]
    lines += ["", ast.get_docstring(node) or "", "", *_table(rows, "Argument")]
    if returns and returns != "None":
        lines += ["", f"Returns {_code(returns)}{f': {_plain(said)}' if said else ''}"]
    return "\n".join([*lines, fence])


def _class(node: ast.ClassDef, comments: dict[int, str], name: str) -> str:
    fields = [
        part
        for part in node.body
        if isinstance(part, ast.AnnAssign)
        and isinstance(part.target, ast.Name)
        and not part.target.id.startswith("_")
    ]
    methods = {part.name: part for part in node.body if isinstance(part, ast.FunctionDef)}
    signature, rows = "", []
    if "__init__" in methods:
        signature, rows = _arguments(methods["__init__"], comments)
    bases = [ast.unparse(base) for base in node.bases]
    lines = [
        f"`````{{py:class}} {name}{f'({signature})' if signature else ''}",
        "",
        ast.get_docstring(node) or "",
    ]
    if bases:
        lines += ["", "A kind of " + ", ".join(map(_code, bases)) + "."]
    lines += ["", *_table(rows, "Argument")]
    table = []
    for part in fields:
        value = ast.unparse(part.value) if part.value is not None else ""
        table.append((part.target.id, ast.unparse(part.annotation), value, comments.get(part.end_lineno, "")))
    lines += ["", *_table(table, "Field")]
    for method, part in methods.items():
        if method.startswith("_"):
            continue
        decorators = {ast.unparse(decorator) for decorator in part.decorator_list}
        if decorators & {"property", "cached_property", "functools.cached_property"}:
            kind = f"\n:type: {ast.unparse(part.returns)}" if part.returns is not None else ""
            lines += ["", f"````{{py:property}} {method}{kind}", "", ast.get_docstring(part) or "", "````"]
        else:
            lines += ["", _function(part, comments, "method", method)]
    return "\n".join([*lines, "`````"])
