"""The purity of `protocol`: what its modules may import and do, checked on their syntax trees.

`protocol` decides and touches nothing (rule of the house 4): time is an argument, randomness a seed, iteration has an
order, numbers are integers. A linter bans names that someone thought of; this check holds the closed list of what may
be imported at all, so that whatever is not on it needs a decision here.

What is refused, each with its line:

* an import that is not in `STANDARD`, in `LIBRARIES` for that room, or of `protocol` itself; an import inside a
  function too; a star import; `random` outside `protocol.sim`, and there anything but `Random(seed)` with a seed;
* a float or complex literal, `/` and `/=`, `float()`, `complex()`, and what `math` returns as floats;
* a call of `open`, `print`, `input`, `hash`, `id`, `exec`, `eval`, `compile`, `__import__`, `breakpoint`; a default
  `repr` of an object is not looked for;
* `async` and `await`, `global`;
* iteration over what is plainly a set (a set display or comprehension, `set(...)`, `frozenset(...)`, a union of such,
  or a local name or parameter that is annotated or assigned as one) in a loop, a comprehension, or a call that keeps
  the order it finds (`list`, `tuple`, `enumerate`, `iter`, `next`, `join`, `pop`; `min` and `max` with a `key`, where
  equals may meet). `sorted`, `sum`, `len`, `any`, `all` do not care.

Layers between rooms are import-linter's (pyproject.toml). Deliberately absent: sets that come from elsewhere
(attributes, results of calls); the simulator's run in two processes with different hash seeds finds those.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# fmt: off
STANDARD = frozenset({
    "__future__", "abc", "bisect", "collections", "collections.abc", "contextlib", "copy", "dataclasses", "enum",
    "functools", "hashlib", "heapq", "hmac", "inspect", "itertools", "math", "operator", "struct", "types", "typing",
})
# fmt: on
"""Modules of the standard library that compute and do nothing else."""

LIBRARIES = {
    "protocol.values": frozenset({"msgspec"}),
    "protocol.codec": frozenset({"msgpack", "msgspec", "msgspec.msgpack"}),
    "protocol.crypto": frozenset({"nacl.bindings", "nacl.exceptions"}),
    "protocol.ledger": frozenset(
        {"msgpack", "msgspec.msgpack"}
    ),  # keys of the state and undo entries are arrays without a record class
}
"""Room -> libraries that only it may use."""

RANDOM_ROOM = "protocol.sim"
FORBIDDEN_CALLS = {
    "open": "files are daemon's",
    "print": "what happened is said in effects",
    "input": "nobody is asked",
    "hash": "differs from process to process; use protocol.crypto.hashing",
    "id": "differs from run to run",
    "exec": "code is not data",
    "eval": "code is not data",
    "compile": "code is not data",
    "__import__": "imports are named",
    "breakpoint": "nobody is asked",
    "float": "integers only",
    "complex": "integers only",
}
INTEGER_MATH = frozenset({"ceil", "comb", "factorial", "floor", "gcd", "isqrt", "lcm", "perm", "prod", "trunc"})
ORDER_KEEPING_CALLS = frozenset({"list", "tuple", "enumerate", "iter", "next", "zip", "map", "filter", "reversed"})
SET_NAMES = frozenset({"set", "frozenset", "Set", "AbstractSet", "MutableSet", "FrozenSet"})


@dataclass(frozen=True, slots=True, order=True)
class Violation:
    """One place where a module is not pure."""

    path: str
    line: int
    words: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.words}"


def module_name(path: Path, root: Path) -> str:
    """Dotted name of the module at `path` below `root`."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def in_room(module: str, room: str) -> bool:
    """Whether `module` is the room or inside it."""
    return module == room or module.startswith(room + ".")


def check_source(source: str, module: str, path: str) -> list[Violation]:
    """All violations in one module's text, by line. Raises SyntaxError."""
    tree = ast.parse(source, filename=path)
    found = [*_imports(tree, module), *_numbers(tree), *_calls(tree), *_statements(tree), *_sets(tree)]
    return sorted({Violation(path, line, words) for line, words in found})


def check(root: Path = ROOT) -> list[Violation]:
    """All violations in the package `protocol` below `root`."""
    found: list[Violation] = []
    for path in sorted((root / "protocol").rglob("*.py")):
        found += check_source(path.read_text(encoding="utf-8"), module_name(path, root), str(path.relative_to(root)))
    return found


Found = Iterator[tuple[int, str]]


def _imports(tree: ast.Module, module: str) -> Found:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _import(node.lineno, alias.name, (), module)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                yield node.lineno, "a relative import; name the module in full"
            else:
                yield from _import(node.lineno, node.module or "", tuple(alias.name for alias in node.names), module)


def _import(line: int, name: str, members: tuple[str, ...], module: str) -> Found:
    if "*" in members:
        yield line, f"a star import of {name}"
    if name == "random" and in_room(module, RANDOM_ROOM):
        if members != ("Random",):
            yield line, "of random only Random: from random import Random, made with a seed"
    elif name == "math" and not (members and INTEGER_MATH.issuperset(members)):
        yield line, f"of math only its integer functions, by name ({', '.join(sorted(INTEGER_MATH))})"
    elif name in STANDARD or name == "protocol" or name.startswith("protocol."):
        pass
    elif not any(in_room(module, room) and name in allowed for room, allowed in LIBRARIES.items()):
        yield line, f"import of {name}, which {module} may not use (scripts/purity.py has the closed list)"


def _numbers(tree: ast.Module) -> Found:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            yield node.lineno, f"the literal {node.value!r}: integers only"
        elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            yield node.lineno, "true division gives a float; use //"


def _calls(tree: ast.Module) -> Found:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        name = node.func.id
        if name in FORBIDDEN_CALLS:
            yield node.lineno, f"a call of {name}(): {FORBIDDEN_CALLS[name]}"
        if name == "Random" and not node.args:
            yield node.lineno, "Random() without a seed"


def _statements(tree: ast.Module) -> Found:
    words = {
        ast.AsyncFunctionDef: "async: what waits is daemon's",
        ast.AsyncFor: "async: what waits is daemon's",
        ast.AsyncWith: "async: what waits is daemon's",
        ast.Await: "await: what waits is daemon's",
        ast.Global: "global: state is passed, not shared",
    }
    for node in ast.walk(tree):
        if type(node) in words:
            yield getattr(node, "lineno", 0), words[type(node)]


def _sets(tree: ast.Module) -> Found:
    """Iteration over sets: module level with its own names, then each function with the names that it can see."""
    yield from _sets_in(tree, frozenset())


def _sets_in(scope: ast.AST, outer: frozenset[str]) -> Found:
    nodes = list(_own_nodes(scope))
    names = _set_names(scope, nodes, outer)
    for node in nodes:
        for iterated in _iterated(node):
            if _is_set(iterated, names):
                yield (
                    iterated.lineno,
                    "iteration over a set, whose order differs from process to process; sort it first",
                )
        if isinstance(node, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            yield from _sets_in(node, names)


def _own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """Nodes of a scope; those of functions and classes in it are reported themselves, and not entered."""
    waiting = list(ast.iter_child_nodes(scope))
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            waiting.extend(ast.iter_child_nodes(node))


def _set_names(scope: ast.AST, nodes: list[ast.AST], outer: frozenset[str]) -> frozenset[str]:
    """Names that are sets in this scope; a name that is bound to something else here is not an outer one."""
    sets: set[str] = set()
    others: set[str] = set()
    if isinstance(scope, ast.FunctionDef | ast.Lambda):
        arguments = scope.args
        for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            (sets if _is_set_annotation(argument.annotation) else others).add(argument.arg)
    for node in nodes:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            (sets if _is_set_annotation(node.annotation) else others).add(node.target.id)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    (sets if _is_set(node.value, outer) else others).add(target.id)
        elif isinstance(node, ast.For | ast.comprehension) and isinstance(node.target, ast.Name):
            others.add(node.target.id)
    return frozenset(sets - others) | (outer - others)


def _is_set_annotation(annotation: ast.expr | None) -> bool:
    base = annotation.value if isinstance(annotation, ast.Subscript) else annotation
    return isinstance(base, ast.Name) and base.id in SET_NAMES


def _is_set(node: ast.expr, names: frozenset[str]) -> bool:
    match node:
        case ast.Set() | ast.SetComp():
            return True
        case ast.Name(id=name):
            return name in names
        case ast.Call(func=ast.Name(id="set" | "frozenset")):
            return True
        case ast.Call(
            func=ast.Attribute(
                value=value, attr="union" | "intersection" | "difference" | "symmetric_difference" | "copy"
            )
        ):
            return _is_set(value, names)
        case ast.BinOp(left=left, op=ast.BitOr() | ast.BitAnd() | ast.Sub() | ast.BitXor(), right=right):
            return _is_set(left, names) or _is_set(right, names)
    return False


def _iterated(node: ast.AST) -> list[ast.expr]:
    """Expressions that this node goes through in the order it finds."""
    match node:
        case ast.For(iter=iterated):
            return [iterated]
        case ast.ListComp(generators=generators) | ast.DictComp(generators=generators):
            return [g.iter for g in generators]
        case ast.Call(func=ast.Name(id=name), args=arguments) if name in ORDER_KEEPING_CALLS:
            return _sources(arguments)
        case ast.Call(func=ast.Name(id="min" | "max"), args=arguments, keywords=[_, *_]):
            return _sources(arguments)
        case ast.Call(func=ast.Attribute(attr="join" | "extend"), args=arguments):
            return _sources(arguments)
        case ast.Call(func=ast.Attribute(value=value, attr="pop"), args=[]):
            return [value]
        case ast.Starred(value=value):
            return [value]
    return []


def _sources(arguments: list[ast.expr]) -> list[ast.expr]:
    """What these arguments go through: a generator's own sources instead of the generator."""
    sources: list[ast.expr] = []
    for argument in arguments:
        sources += [g.iter for g in argument.generators] if isinstance(argument, ast.GeneratorExp) else [argument]
    return sources


def main() -> int:
    """Print every violation; exit code 1 if there is one."""
    violations = check()
    for violation in violations:
        print(violation)
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
