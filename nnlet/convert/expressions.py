"""expressions: the Python expressions of a formula, `np.log(x)` or `I(x**2)`, as ONNX.

What is known stands in the tables. Anything else is refused in words, with the term that it
stands in: it is never left out.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np

from nnlet.convert.piecewise import Piecewise
from nnlet.convert.writer import Operand, Writer
from nnlet.errors import ConvertError
from nnlet.signature import Scalar

NUMPY = ("np", "numpy")
AS_THEY_ARE = ("I", "asarray", "array", "float", "float64")  # functions that hand a value on


@dataclass(frozen=True)
class Words:
    """A column of categories: its indices, and what they mean."""

    index: str
    categories: tuple[Scalar, ...]


@dataclass(frozen=True)
class Scope:
    """What an expression can speak of. `columns`: values [N, 1] by name. `booleans`: those of
    them that are true or false. `known`: what other names mean where the formula was written.
    `stateful`: transforms that remember the training data, by the expression that calls them."""

    graph: Writer
    columns: Mapping[str, str | Words]
    booleans: frozenset[str] = frozenset()
    known: Callable[[str], Any] = lambda name: None
    stateful: Mapping[str, Piecewise] = field(default_factory=dict)
    term: str = ""

    def refuse(self, node: ast.AST, why: str) -> NoReturn:
        """Raises ConvertError, naming term and part."""
        raise ConvertError(
            f"the term {self.term!r} of the formula cannot be served: {why}, in "
            f"{ast.unparse(node)!r}. Compute it as a column of the data, and let the formula take "
            "that column"
        )


def parse(code: str) -> ast.expr:
    """The expression in a formula. Raises ConvertError for one that Python does not read."""
    try:
        return ast.parse(code, mode="eval").body
    except SyntaxError as exc:
        raise ConvertError(
            f"{code!r} in the formula is no Python expression: give its columns names that are"
        ) from exc


def names(code: str) -> set[str]:
    """All names in an expression, columns or not; those that Q() quotes too."""
    found = set()
    for node in ast.walk(parse(code)):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif (quoted := _quoted(node)) is not None:
            found.add(quoted)
    return found


def column(code: str) -> str | None:
    """The column that an expression is as it stands: x, Q("x"), C(x) or C(Q("x"), ...)."""
    node = parse(code)
    while isinstance(node, ast.Call) and _called(node) == "C" and node.args:
        node = node.args[0]
    if isinstance(node, ast.Name):
        return node.id
    return _quoted(node)


def compute(code: str, scope: Scope) -> tuple[str, bool]:
    """The value [N, K] of an expression, and whether it is true or false (as 1 or 0).

    Raises ConvertError for what is not in the tables.
    """
    node = parse(code)
    while isinstance(node, ast.Call) and _called(node) == "C" and node.args:
        node = node.args[0]
    value = _value(node, scope)
    if not isinstance(value, str):
        scope.refuse(node, "it is the same for all rows")
    return value, _is_boolean(node, scope)


def _value(node: ast.expr, scope: Scope) -> Operand:
    piecewise = scope.stateful.get(ast.unparse(node))
    if piecewise is not None:
        return piecewise.write(scope.graph, _tensor(_argument(node), scope))
    if isinstance(node, ast.Constant) and isinstance(node.value, (bool, int, float)):
        return float(node.value)
    if isinstance(node, ast.Name):
        return _name(node, node.id, scope)
    if _dotted(node) in _CONSTANTS:
        return _CONSTANTS[_dotted(node)]
    if isinstance(node, ast.UnaryOp):
        return _unary(node, scope)
    if isinstance(node, ast.BinOp):
        return _binary(node, scope)
    if isinstance(node, ast.Compare):
        return _compare(node, scope)
    if isinstance(node, ast.Call):
        return _call(node, scope)
    scope.refuse(node, "nnlet does not read this kind of expression")


def _tensor(node: ast.expr, scope: Scope) -> str:
    value = _value(node, scope)
    return value if isinstance(value, str) else scope.graph.constant(value)


def _name(node: ast.expr, name: str, scope: Scope) -> Operand:
    found = scope.columns.get(name)
    if isinstance(found, Words):
        scope.refuse(node, f"{name} is a column of categories, and this is arithmetic")
    if found is not None:
        return found
    value = scope.known(name)
    if isinstance(value, (bool, int, float, np.number)):
        return float(value)
    scope.refuse(node, f"{name} is neither a column of the sample nor a number")


def _unary(node: ast.UnaryOp, scope: Scope) -> Operand:
    value = _value(node.operand, scope)
    if isinstance(node.op, ast.UAdd):
        return value
    if isinstance(node.op, ast.USub):
        return scope.graph.node("Neg", value) if isinstance(value, str) else -value
    if _is_boolean(node.operand, scope):
        return scope.graph.node("Sub", 1.0, value)
    scope.refuse(node, "~ and not are for what is true or false")


def _binary(node: ast.BinOp, scope: Scope) -> Operand:
    left, right = _value(node.left, scope), _value(node.right, scope)
    op = type(node.op)
    if op in _LOGIC and _is_boolean(node.left, scope) and _is_boolean(node.right, scope):
        return scope.graph.node(_LOGIC[op], left, right)
    if op not in _ARITHMETIC:
        scope.refuse(node, "this operator is not one of + - * / // % **")
    fold, write = _ARITHMETIC[op]
    if isinstance(left, str) or isinstance(right, str):
        return write(scope.graph, left, right)
    folded: float = fold(left, right)
    return folded


def _compare(node: ast.Compare, scope: Scope) -> str:
    parts = [node.left, *node.comparators]
    found = [
        _compared(node, a, op, b, scope)
        for a, op, b in zip(parts, node.ops, parts[1:], strict=False)
    ]
    value = found[0]
    for other in found[1:]:
        value = scope.graph.node("Mul", value, other)
    return value


def _compared(node: ast.Compare, a: ast.expr, op: ast.cmpop, b: ast.expr, scope: Scope) -> str:
    write = _COMPARISONS.get(type(op))
    if write is None:
        scope.refuse(node, "this is not one of == != < <= > >=")
    graph = scope.graph
    for column, word in ((a, b), (b, a)):
        words = scope.columns.get(ast.unparse(column))
        if isinstance(words, Words):
            if type(op) not in (ast.Eq, ast.NotEq) or not isinstance(word, ast.Constant):
                scope.refuse(node, "a category can be compared by == and != with one category")
            index = words.categories.index(word.value) if word.value in words.categories else -2
            equal = graph.cast(graph.node("Equal", words.index, graph.integers(index)))
            return equal if isinstance(op, ast.Eq) else graph.node("Sub", 1.0, equal)
    name, negated = write
    value = graph.cast(graph.node(name, _tensor(a, scope), _tensor(b, scope)))
    return graph.node("Sub", 1.0, value) if negated else value


def _call(node: ast.Call, scope: Scope) -> Operand:
    quoted = _quoted(node)
    if quoted is not None:
        return _name(node, quoted, scope)
    name = _function(node, scope)
    if name in AS_THEY_ARE and len(node.args) == 1 and not node.keywords:
        return _value(node.args[0], scope)
    write, count = _FUNCTIONS.get(name, (None, 0))
    if write is None:
        scope.refuse(node, f"{_called(node)} is not one of the functions that nnlet knows")
    if node.keywords or len(node.args) != count:
        scope.refuse(node, f"nnlet knows {_called(node)} with {count} arguments by place only")
    return write(scope.graph, *[_tensor(argument, scope) for argument in node.args])


def _function(node: ast.Call, scope: Scope) -> str:
    """What NumPy calls the function; "" for another one."""
    dotted = _called(node)
    module, _, name = dotted.rpartition(".")
    if module in NUMPY:
        return name
    if module:
        return ""
    if name in AS_THEY_ARE or name == "abs":
        return name
    known = scope.known(name)
    return str(known.__name__) if isinstance(known, np.ufunc) else ""


def _argument(node: ast.expr) -> ast.expr:
    assert isinstance(node, ast.Call)
    return node.args[0] if node.args else node.keywords[0].value


def _called(node: ast.Call) -> str:
    return _dotted(node.func)


def _dotted(node: ast.expr) -> str:
    return ast.unparse(node) if isinstance(node, (ast.Name, ast.Attribute)) else ""


def _quoted(node: ast.AST) -> str | None:
    """The column that Q("column") means."""
    if not (isinstance(node, ast.Call) and _called(node) == "Q" and len(node.args) == 1):
        return None
    (argument,) = node.args
    return str(argument.value) if isinstance(argument, ast.Constant) else None


def _is_boolean(node: ast.expr, scope: Scope) -> bool:
    if isinstance(node, ast.Call) and _called(node) == "I" and node.args:
        return _is_boolean(node.args[0], scope)
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, (ast.Not, ast.Invert)) and _is_boolean(node.operand, scope)
    if isinstance(node, ast.BinOp):
        both = _is_boolean(node.left, scope) and _is_boolean(node.right, scope)
        return type(node.op) in _LOGIC and both
    name = node.id if isinstance(node, ast.Name) else _quoted(node)
    return isinstance(node, ast.Compare) or name in scope.booleans


# The tables -------------------------------------------------------------------


def _floor_divided(graph: Writer, a: Operand, b: Operand) -> str:
    return graph.node("Floor", graph.node("Div", a, b))


def _modulo(graph: Writer, a: Operand, b: Operand) -> str:
    """With the sign of the divisor, as Python has it."""
    return graph.node("Sub", a, graph.node("Mul", _floor_divided(graph, a, b), b))


def _one(op: str) -> Callable[..., str]:
    return lambda graph, *operands: graph.node(op, *operands)


def _scaled_log(base: float) -> Callable[..., str]:
    return lambda graph, x: graph.node("Div", graph.node("Log", x), float(np.log(base)))


def _where(graph: Writer, condition: str, a: str, b: str) -> str:
    return graph.node("Where", graph.node("Cast", condition, to=9), a, b)  # 9: BOOL


_CONSTANTS: Mapping[str, float] = {
    f"{module}.{name}": getattr(np, name) for module in NUMPY for name in ("pi", "e", "nan")
}

_ARITHMETIC: Mapping[type[ast.operator], tuple[Callable[..., Any], Callable[..., str]]] = {
    ast.Add: (operator.add, _one("Add")),
    ast.Sub: (operator.sub, _one("Sub")),
    ast.Mult: (operator.mul, _one("Mul")),
    ast.Div: (operator.truediv, _one("Div")),
    ast.Pow: (operator.pow, _one("Pow")),
    ast.FloorDiv: (operator.floordiv, _floor_divided),
    ast.Mod: (operator.mod, _modulo),
}

_LOGIC: Mapping[type[ast.operator], str] = {ast.BitAnd: "Mul", ast.BitOr: "Max"}

# The operator, and whether its answer is turned round: NaN differs from everything.
_COMPARISONS: Mapping[type[ast.cmpop], tuple[str, bool]] = {
    ast.Eq: ("Equal", False),
    ast.NotEq: ("Equal", True),
    ast.Lt: ("Less", False),
    ast.LtE: ("LessOrEqual", False),
    ast.Gt: ("Greater", False),
    ast.GtE: ("GreaterOrEqual", False),
}

# What NumPy calls it, and how many arguments it takes.
_FUNCTIONS: Mapping[str, tuple[Callable[..., str], int]] = {
    "log": (_one("Log"), 1),
    "log2": (_scaled_log(2), 1),
    "log10": (_scaled_log(10), 1),
    "log1p": (lambda graph, x: graph.node("Log", graph.node("Add", x, 1.0)), 1),
    "exp": (_one("Exp"), 1),
    "exp2": (lambda graph, x: graph.node("Pow", 2.0, x), 1),
    "expm1": (lambda graph, x: graph.node("Sub", graph.node("Exp", x), 1.0), 1),
    "sqrt": (_one("Sqrt"), 1),
    "square": (lambda graph, x: graph.node("Mul", x, x), 1),
    "reciprocal": (_one("Reciprocal"), 1),
    "abs": (_one("Abs"), 1),
    "absolute": (_one("Abs"), 1),
    "fabs": (_one("Abs"), 1),
    "sign": (_one("Sign"), 1),
    "negative": (_one("Neg"), 1),
    "floor": (_one("Floor"), 1),
    "ceil": (_one("Ceil"), 1),
    "sin": (_one("Sin"), 1),
    "cos": (_one("Cos"), 1),
    "tanh": (_one("Tanh"), 1),
    "add": (_one("Add"), 2),
    "subtract": (_one("Sub"), 2),
    "multiply": (_one("Mul"), 2),
    "divide": (_one("Div"), 2),
    "power": (_one("Pow"), 2),
    "maximum": (_one("Max"), 2),
    "minimum": (_one("Min"), 2),
    "clip": (lambda graph, x, a, b: graph.node("Min", graph.node("Max", x, a), b), 3),
    "where": (_where, 3),
}
