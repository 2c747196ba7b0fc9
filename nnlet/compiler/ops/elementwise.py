"""Elementwise operators: one C expression each, broadcast as ONNX says.

In the expressions {T} is the C type and {U} an unsigned one that is as wide as C computes:
integers go through it, so that overflow wraps. `@0` and `@1` are the inputs' elements.
"""

from __future__ import annotations

from nnlet.compiler.ctext import literal
from nnlet.compiler.program import Value
from nnlet.compiler.site import Site
from nnlet.tensor import DATATYPES, DataType

BOOL = DATATYPES["BOOL"]

# Functions of one float that vmath.h has by the operator's name: EXP(f32)(x).
MATH = frozenset(
    "Acos Acosh Asin Asinh Atan Atanh Ceil Cos Cosh Erf Exp Floor Log Round Sigmoid Sin Sinh "
    "Softplus Sqrt Tan Tanh".split()
)

# Operator -> expression by kind of type: f floating point, i signed, u unsigned, b bool.
UNARY: dict[str, dict[str, str]] = {
    "Abs": {"f": "ABS({T})(@0)", "i": "({T})(@0 < 0 ? 0 - ({U})@0 : ({U})@0)", "u": "@0"},
    "BitwiseNot": {"i": "({T})~@0", "u": "({T})~@0"},
    "Neg": {"f": "-@0", "i": "({T})(0 - ({U})@0)"},
    "Not": {"b": "!@0"},
    "Reciprocal": {"f": "1 / @0"},
    "Relu": {"f": "@0 < 0 ? 0 : @0", "i": "@0 < 0 ? 0 : @0"},  # NaN stays NaN
    "Sign": {
        "f": "@0 != @0 ? @0 : ({T})((@0 > 0) - (@0 < 0))",
        "i": "(@0 > 0) - (@0 < 0)",
        "u": "@0 > 0",
    },
    "Softsign": {"f": "@0 / (1 + ABS({T})(@0))"},
}

_DIVIDES = "{b} == 0 ? 0 : {b} == -1 ? ({T})(0 - ({U}){a}) : {a} / {b}"
_BIGGER = {"f": "(({a} > {b}) | ({a} != {a})) ? {a} : {b}", "": "{a} > {b} ? {a} : {b}"}
_SMALLER = {"f": "(({a} < {b}) | ({a} != {a})) ? {a} : {b}", "": "{a} < {b} ? {a} : {b}"}

# Two inputs of one type, the same type out; "" stands for the kinds that are not listed.
BINARY: dict[str, dict[str, str]] = {
    "Add": {"f": "{a} + {b}", "": "({T})(({U}){a} + ({U}){b})"},
    "And": {"b": "{a} & {b}"},
    "BitwiseAnd": {"": "{a} & {b}"},
    "BitwiseOr": {"": "{a} | {b}"},
    "BitwiseXor": {"": "{a} ^ {b}"},
    "Div": {"f": "{a} / {b}", "i": _DIVIDES, "u": "{b} == 0 ? 0 : {a} / {b}"},
    "Max": _BIGGER,
    "Mean": {"f": "{a} + {b}"},
    "Min": _SMALLER,
    "Mul": {"f": "{a} * {b}", "": "({T})(({U}){a} * ({U}){b})"},
    "Or": {"b": "{a} | {b}"},
    "PRelu": {"f": "{a} < 0 ? {a} * {b} : {a}", "": "{a} < 0 ? ({T})(({U}){a} * ({U}){b}) : {a}"},
    "Sub": {"f": "{a} - {b}", "": "({T})(({U}){a} - ({U}){b})"},
    "Sum": {"f": "{a} + {b}"},
    "Xor": {"b": "{a} ^ {b}"},
}

COMPARISONS = {
    "Equal": "@0 == @1",
    "Greater": "@0 > @1",
    "GreaterOrEqual": "@0 >= @1",
    "Less": "@0 < @1",
    "LessOrEqual": "@0 <= @1",
}


def expression(s: Site, table: dict[str, dict[str, str]], dtype: DataType) -> str:
    """The expression of the site's operator for one type, {a} and {b} still in it."""
    by_kind = table[s.node.op]
    text = by_kind.get(dtype.kind) or by_kind.get("")
    if text is None:
        s.unsupported(f"tensors of type {dtype.onnx_name}")
    unsigned = "u64" if dtype.size == 8 else "u32"
    return text.format(T=dtype.c, U=unsigned, a="{a}", b="{b}")


def math(s: Site) -> None:
    """A function of one float: https://onnx.ai/onnx/operators/onnx__Exp.html and others."""
    x = s.input(0)
    if x.dtype.kind != "f":
        s.unsupported(f"tensors of type {x.dtype.onnx_name}")
    s.map(0, x.dtype, [x], (x.dtype, f"{s.node.op.upper()}({x.dtype.c})(@0)"))


def unary(s: Site) -> None:
    """One input, the same type out."""
    x = s.input(0)
    s.map(0, x.dtype, [x], (x.dtype, expression(s, UNARY, x.dtype)))


def binary(s: Site) -> None:
    """Two inputs of one type, the same type out."""
    a, b = s.input(0), s.input(1)
    text = expression(s, BINARY, a.dtype)
    s.map(0, a.dtype, [a, b], (a.dtype, text.format(a="@0", b="@1")))


def comparison(s: Site) -> None:
    """Two inputs of one type, bool out."""
    s.map(0, BOOL, [s.input(0), s.input(1)], (BOOL, COMPARISONS[s.node.op]))


def variadic(s: Site) -> None:
    """One or more inputs of one type: https://onnx.ai/onnx/operators/onnx__Max.html"""
    inputs = [s.input(n) for n in range(s.input_count)]
    dtype = inputs[0].dtype
    text = expression(s, BINARY, dtype)
    steps = ["@0"]
    for n in range(1, len(inputs)):
        steps.append(text.format(a=f"${n - 1}", b=f"@{n}"))
    if s.node.op == "Mean":
        steps.append(f"${len(inputs) - 1} / {len(inputs)}")
    s.map(0, dtype, inputs, *((dtype, step) for step in steps))


def clip(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__Clip.html

    Where the bounds cross, the upper one wins.
    """
    x = s.input(0)
    steps, inputs = ["@0"], [x]
    for n, (name, order) in enumerate((("min", "<"), ("max", ">")), start=1):
        bound = s.optional(n)
        if bound is not None:
            inputs.append(bound)
            text = f"@{len(inputs) - 1}"
        elif name in s.node.attrs:
            text = literal(s.attr(name), x.dtype)
        else:
            continue
        before = f"${len(steps) - 1}"
        steps.append(f"{before} {order} {text} ? {text} : {before}")
    s.map(0, x.dtype, inputs, *((x.dtype, step) for step in steps))


def mod(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__Mod.html

    The sign is the divisor's, or with `fmod` the dividend's. Modulo zero is 0 for integers.
    """
    a, b = s.input(0), s.input(1)
    dtype = a.dtype
    if dtype.kind == "f":
        rest = f"FMOD({dtype.c})(@0, @1)"
        signed = f"$0 == 0 ? COPYSIGN({dtype.c})(0, @1) : ($0 < 0) != (@1 < 0) ? $0 + @1 : $0"
    else:
        rest = "@1 == 0 || @1 == -1 ? 0 : @0 % @1" if dtype.kind == "i" else "@1 ? @0 % @1 : 0"
        signed = "$0 != 0 && ($0 < 0) != (@1 < 0) ? $0 + @1 : $0"
    lets = [(dtype, rest)] if s.attr("fmod", 0) else [(dtype, rest), (dtype, signed)]
    s.map(0, dtype, [a, b], *lets)


def bit_shift(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__BitShift.html

    By more bits than there are, or by a negative number of them, nothing is left but the sign.
    """
    x, by = s.input(0), s.input(1)
    dtype = x.dtype
    fits = f"(u64)@1 < {dtype.size * 8}"
    wide = "u64" if dtype.size == 8 else "u32"
    if s.attr("direction") == "LEFT":
        text = f"{fits} ? ({dtype.c})(({wide})@0 << @1) : 0"
    else:
        text = f"{fits} ? ({dtype.c})(@0 >> @1) : {'-(@0 < 0)' if dtype.kind == 'i' else '0'}"
    s.map(0, dtype, [x, by], (dtype, text))


def is_inf(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__IsInf.html"""
    signs = {"detect_positive": "(@0 == NN_INF)", "detect_negative": "(@0 == -NN_INF)"}
    tests = [test for name, test in signs.items() if s.attr(name, 1)]
    s.map(0, BOOL, [s.input(0)], (BOOL, " | ".join(tests) or "0"))


def is_nan(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__IsNaN.html"""
    s.map(0, BOOL, [s.input(0)], (BOOL, "@0 != @0"))


def power(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__Pow.html

    The result has the base's type: integers wrap, floats that do not fit it saturate.
    """
    x, y = s.input(0), s.input(1)
    content = s.const(1)
    if x.dtype.kind == "f" and content is not None and content.size == 1:
        exponent = float(content.reshape(-1)[0])
        text = {1.0: "@0", 2.0: "@0 * @0", 3.0: "@0 * @0 * @0"}.get(exponent)
        if text is not None:
            s.map(0, x.dtype, [x, y], (x.dtype, text))
            return
    s.map(0, x.dtype, [x, y], (x.dtype, _power(x, y)))


def _power(x: Value, y: Value) -> str:
    if x.dtype.kind == "f" and y.dtype is x.dtype:
        return f"POW({x.dtype.c})(@0, @1)"
    if x.dtype.kind == "f":
        return f"({x.dtype.c})pow(@0, (f64)@1)"
    if y.dtype.kind == "f":
        return f"nn_f64_to_{x.dtype.c}(pow((f64)@0, (f64)@1))"
    return f"({x.dtype.c})nn_power((u64)@0, (u64)@1, {'@1 < 0' if y.dtype.kind == 'i' else '0'})"
