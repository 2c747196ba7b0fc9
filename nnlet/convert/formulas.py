"""formulas: the design matrix of a formula, from the columns of a data frame, as ONNX.

Two libraries read formulas, patsy and formulaic. What both make of one, terms of factors with
their contrasts, is brought into one form here, a Design; the graph is written from that.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from nnlet.convert import expressions
from nnlet.convert.columns import number_spec
from nnlet.convert.converted import Array
from nnlet.convert.expressions import Scope, Words
from nnlet.convert.piecewise import Piecewise
from nnlet.convert.sample import Column, Sample, plain
from nnlet.convert.writer import Writer
from nnlet.errors import ConvertError
from nnlet.signature import ColumnSpec, Scalar


@dataclass(frozen=True)
class Factor:
    """One expression of a formula. `levels`: its categories, in the order of its contrasts;
    None for numbers. `known`: what other names mean where the formula was written. `stateful`:
    what remembers the training data, by the expression in `code` that calls it."""

    code: str
    levels: tuple[Scalar, ...] | None = None
    known: Callable[[str], Any] = lambda name: None
    stateful: Mapping[str, Piecewise] = field(default_factory=dict)


@dataclass(frozen=True)
class Term:
    """A product of factors; of none, a constant. `contrasts`: for each factor [levels, columns],
    None for numbers. The columns of the first factor change fastest."""

    name: str
    factors: tuple[Factor, ...]
    contrasts: tuple[Array | None, ...]
    scale: float = 1.0


Design = tuple[Term, ...]


@dataclass(frozen=True)
class Block:
    """Neighbouring columns of the design matrix: a value [N, width], or a constant."""

    width: int
    value: str = ""
    constant: float = 0.0


def design_of(spec: Any) -> Design:
    """What a patsy DesignInfo or a formulaic ModelSpec says. Raises ConvertError for a
    transform that is not known."""
    reader = _formulaic if type(spec).__module__.startswith("formulaic") else _patsy
    return tuple(reader(spec))


# patsy ------------------------------------------------------------------------


def _patsy(spec: Any) -> Iterator[Term]:
    factors = {f: _patsy_factor(f, info) for f, info in spec.factor_infos.items()}
    for term, codings in spec.term_codings.items():
        for coding in codings:
            contrasts = [coding.contrast_matrices.get(f) for f in coding.factors]
            yield Term(
                term.name(),
                tuple(factors[f] for f in coding.factors),
                tuple(None if c is None else np.asarray(c.matrix) for c in contrasts),
            )


def _patsy_factor(factor: Any, info: Any) -> Factor:
    code, transforms = info.state["eval_code"], info.state["transforms"]
    space = info.state["eval_env"].namespace
    levels = tuple(map(plain, info.categories)) if info.type == "categorical" else None
    stateful = {}
    for node in ast.walk(expressions.parse(code)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            transform = transforms.get(ast.unparse(node.func.value))
            if transform is not None:
                arguments = _arguments(node, space, factor.code)
                stateful[ast.unparse(node)] = _patsy_piecewise(transform, arguments, factor.code)
    return Factor(code, levels, lambda name: space.get(name), stateful)


def _patsy_piecewise(transform: Any, arguments: tuple[Any, Any], code: str) -> Piecewise:
    args, options = arguments

    def evaluate(x: Array) -> Array:
        return np.asarray(transform.transform(x, *args, **options))

    kind = type(transform).__name__
    if kind in ("Center", "Standardize"):
        return Piecewise(evaluate, (), 1)
    if kind == "BS":
        return Piecewise(evaluate, tuple(transform._all_knots), transform._degree, outside=False)
    if kind == "CR":
        return Piecewise(evaluate, tuple(transform._all_knots), 3)
    raise _unknown_transform(code)


# formulaic --------------------------------------------------------------------


def _formulaic(spec: Any) -> Iterator[Term]:
    for encoded in spec.structure:
        for scoped in encoded.scoped_terms:
            pairs = [_formulaic_factor(spec, f) for f in scoped.factors]
            yield Term(
                str(encoded.term),
                tuple(factor for factor, _ in pairs),
                tuple(contrast for _, contrast in pairs),
                float(scoped.scale),
            )


def _formulaic_factor(spec: Any, scoped: Any) -> tuple[Factor, Array | None]:
    from formulaic.transforms import TRANSFORMS

    name = scoped.factor.expr
    lookup = scoped.factor.factor.eval_method.value == "lookup"
    code = f"Q({name!r})" if lookup else name
    kind, state = spec.encoder_state[name]
    if kind.value == "categorical":
        contrasts = state["contrasts"]
        matrix = contrasts.contrasts.get_coding_matrix(contrasts.levels, scoped.reduced)
        return Factor(code, tuple(map(plain, contrasts.levels))), np.asarray(matrix, np.float64)
    stateful = {}
    for node in ast.walk(expressions.parse(code)):
        called = ast.unparse(node) if isinstance(node, ast.Call) else ""
        if isinstance(node, ast.Call) and called in spec.transform_state:
            function = TRANSFORMS.get(ast.unparse(node.func))
            stateful[called] = _formulaic_piecewise(
                node, function, spec.transform_state[called], spec
            )
    return Factor(code, known=TRANSFORMS.get, stateful=stateful), None


def _formulaic_piecewise(node: ast.Call, function: Any, state: Any, spec: Any) -> Piecewise:
    code = ast.unparse(node)
    args, options = _arguments(node, {}, code)

    def evaluate(x: Array) -> Array:
        found = function(x, *args, **options, _state=dict(state), _spec=spec)
        columns = list(found.values()) if isinstance(found, dict) else [found]
        return np.concatenate([np.asarray(c, np.float64).reshape(len(x), -1) for c in columns], 1)

    name = ast.unparse(node.func)
    if name in ("center", "scale"):
        return Piecewise(evaluate, (), 1)
    if name == "poly":
        return Piecewise(evaluate, (), int(options.get("degree", args[0] if args else 1)))
    if name == "bs" and options.get("extrapolation", "raise") == "raise":
        degree = int(options.get("degree", 3))
        return Piecewise(evaluate, tuple(state["knots"]), degree, outside=False)
    if name in ("cs", "cr") and not state["cyclic"]:
        return Piecewise(evaluate, tuple(state["knots"]), 3)
    raise _unknown_transform(code)


def _arguments(
    node: ast.Call, space: Mapping[str, Any], code: str
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a transform is called with, besides the column. Raises ConvertError."""

    def value(argument: ast.expr) -> Any:
        try:
            return ast.literal_eval(argument)
        except ValueError:
            known = space.get(ast.unparse(argument))
            if known is None:
                raise _unknown_transform(code) from None
            return known

    args = tuple(value(argument) for argument in node.args[1:])
    return args, {str(k.arg): value(k.value) for k in node.keywords if k.arg != "x"}


def _unknown_transform(code: str) -> ConvertError:
    return ConvertError(
        f"the term {code!r} of the formula cannot be served: nnlet writes center, standardize, "
        "scale, bs, cr, cs and poly of one column, with arguments that are numbers. Compute it as "
        "a column of the data, and let the formula take that column"
    )


# The columns ------------------------------------------------------------------


@dataclass(frozen=True)
class Table:
    """The columns that a formula reads: what callers send, the sample, and the values."""

    specs: tuple[ColumnSpec, ...]
    feeds: Mapping[str, Array]
    scope: Scope


def used(design: Design, sample: Sample) -> tuple[Column, ...]:
    """The sample's columns that the formula reads. Raises ConvertError if it needs others."""
    read = {name for factor in _factors(design) for name in expressions.names(factor.code)}
    return tuple(column for column in sample.columns if column.name in read)


def table(design: Design, sample: Sample, rows: Sample, graph: Writer) -> Table:
    """One input a column: indices of categories, or numbers."""
    specs, feeds, booleans = [], {}, set()
    values: dict[str, str | Words] = {}
    of = {column.name: column for column in rows.columns}
    for column in used(design, sample):
        name, categories = column.name, _categories(column, design, sample)
        if categories is None:
            specs.append(number_spec(column, name))
            feeds[name] = of[name].values.astype(graph.real).reshape(-1, 1)
            values[name] = name
            if column.type == "boolean":
                booleans.add(name)
            continue
        missing = "nan" if column.missing.any() else None
        specs.append(ColumnSpec(name, "category", name, categories=categories, missing=missing))
        index = {category: n for n, category in enumerate(categories)}
        places = [index.get(plain(v), -1) for v in of[name].values]
        feeds[name] = np.array(places, np.int64).reshape(-1, 1)
        values[name] = Words(name, categories)
    return Table(tuple(specs), feeds, Scope(graph, values, frozenset(booleans)))


def _categories(column: Column, design: Design, sample: Sample) -> tuple[Scalar, ...] | None:
    """What the indices of a column mean; None for a column of numbers.

    Integers are categories where the formula takes them as nothing else.
    """
    readers = [f for f in _factors(design) if column.name in expressions.names(f.code)]
    plainly = [f for f in readers if f.levels and expressions.column(f.code) == column.name]
    if column.type != "category" and (column.type != "integer" or len(plainly) < len(readers)):
        return None
    own = [level for factor in plainly for level in factor.levels or ()] or list(column.seen)
    if not all(isinstance(level, (str, int)) for level in own):
        raise ConvertError(
            f"column {column.name!r} has categories that are neither strings nor integers: make "
            "them strings before the model, in training too"
        )
    return tuple(dict.fromkeys([*sample.known.get(column.name, ()), *own]))


def _factors(design: Design) -> Iterator[Factor]:
    for term in design:
        yield from term.factors


# The matrix -------------------------------------------------------------------


def blocks(design: Design, scope: Scope) -> list[Block]:
    """The design matrix, term by term. Raises ConvertError, naming the term, for what cannot
    be written."""
    return [_block(term, replace(scope, term=term.name)) for term in design]


def _block(term: Term, scope: Scope) -> Block:
    if not term.factors:
        return Block(1, constant=term.scale)
    graph = scope.graph
    value, width = "", 0
    for factor, contrast in zip(term.factors, term.contrasts, strict=True):
        mine = replace(scope, known=factor.known, stateful=factor.stateful)
        found, columns = _coded(factor, contrast, mine)
        if not value:
            value, width = found, columns
            continue
        rows = graph.node("Unsqueeze", value, graph.integers(1))  # [N, 1, width]
        slow = graph.node("Unsqueeze", found, graph.integers(2))  # [N, columns, 1]
        width *= columns
        product = graph.node("Mul", slow, rows)
        value = graph.node("Reshape", product, graph.integers(0, width))
    if term.scale != 1:
        value = graph.node("Mul", value, term.scale)
    return Block(width, value)


def _coded(factor: Factor, contrast: Array | None, scope: Scope) -> tuple[str, int]:
    """The columns of one factor: [N, columns], and how many."""
    if contrast is None:
        value, _ = expressions.compute(factor.code, scope)
        return value, _width(factor)
    words = scope.columns.get(expressions.column(factor.code) or "")
    if isinstance(words, Words):
        return _looked_up(words, factor, contrast, scope.graph), contrast.shape[1]
    value, _ = expressions.compute(factor.code, scope)
    return _matched(value, factor, contrast, scope), contrast.shape[1]


def _width(factor: Factor) -> int:
    """How many columns numbers have: those of the transform that the factor is, or one."""
    piecewise = factor.stateful.get(ast.unparse(expressions.parse(factor.code)))
    return 1 if piecewise is None else piecewise.width


def _looked_up(words: Words, factor: Factor, contrast: Array, graph: Writer) -> str:
    """The contrasts of each category. What has none becomes NaN, never another category; so
    does -1, which is the last row of the table."""
    rows = dict(zip(factor.levels or (), contrast, strict=True))
    nothing = np.full(contrast.shape[1], np.nan)
    coded = np.stack([*(rows.get(c, nothing) for c in words.categories), nothing])
    index = graph.node("Squeeze", words.index, graph.integers(1))
    return graph.node("Gather", graph.constant(coded), index, axis=0)


def _matched(value: str, factor: Factor, contrast: Array, scope: Scope) -> str:
    """The same for numbers, which are compared with the categories."""
    graph = scope.graph
    levels = factor.levels or ()
    if not all(isinstance(level, (bool, int, float)) for level in levels):
        raise ConvertError(
            f"the term {scope.term!r} of the formula cannot be served: {factor.code} makes words "
            "of a column. Compute it as a column of the data, and let the formula take that column"
        )
    equal = graph.node("Equal", value, np.array([[float(level) for level in levels]]))
    one_hot = graph.cast(equal)
    found = graph.node("ReduceMax", one_hot, graph.integers(1), keepdims=1)
    coded = graph.node("MatMul", one_hot, contrast)
    return graph.node("Where", graph.node("Greater", found, 0.5), coded, float("nan"))
