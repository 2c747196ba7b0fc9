"""Sizes that only the run knows, as variables of the generated code.

A size that has to be computed gets a variable where it is first needed, and everything that
has this size from then on says so in the same words: that is how later steps see that two
tensors are equally large.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from nnlet.compiler import dims as d
from nnlet.compiler.ctext import c_string
from nnlet.compiler.dims import Dim, Expr
from nnlet.compiler.program import Call, Step, Value
from nnlet.errors import CompileError


class Sizes:
    """The variables of one graph; those of the graphs around it (`outer`) are known too.

    `new` declares a variable, `append` adds a step.
    """

    def __init__(
        self, new: Callable[[str], str], append: Callable[[Step], None], outer: Sizes | None
    ) -> None:
        self._new = new
        self._append = append
        self._outer = outer
        self._named: dict[Dim, Expr] = {}
        self._definitions: dict[Dim, str] = {}  # C text of what a variable holds
        self._equal: dict[Dim, Dim] = {}

    def settled(self, dim: Dim) -> Dim:
        """`dim` in terms of variables: what has to be computed gets one."""
        calls = {atom: self._name(d.symbol(atom)) for atom in d.calls(dim)}
        dim = d.replaced(dim, calls)
        return self._find(dim) or dim

    def of_tensor(self, dims: Sequence[Dim], label: str) -> tuple[Dim, ...]:
        """The same for the dimensions of the tensor `label`. What could be negative is checked,
        and counts from here on as what is not."""
        return tuple(self._dimension(dim, label) for dim in dims)

    def _dimension(self, dim: Dim, label: str) -> Dim:
        dim = self.settled(dim)
        if isinstance(dim, int) and not 0 <= dim < 2**31:
            raise CompileError(f"{label}: a dimension would be {dim}")
        if d.nonnegative(dim):
            return dim
        text = d.c(dim)
        message = '"%s: a dimension would be %d"'
        check = f"NN_CHECK({text} >= 0, NN_INVALID_ARGUMENT, {message}, {c_string(label)}, {text});"
        return self._name(dim, check)

    def _name(self, dim: Dim, check: str = "") -> Expr:
        """The variable that holds `dim`, a size if it is or if `check` makes sure."""
        known = self._find(dim)
        if known is not None:
            return known
        variable = self._new("r")
        code = (*([check] if check else []), f"{variable} = {d.c(dim)};")
        self._append(Call("sizes", (), (), frozenset(), code))
        name = d.size_symbol(variable) if check or d.nonnegative(dim) else d.symbol(variable)
        self._named[dim] = name
        self._definitions[name] = d.c(dim)
        return name

    def _find(self, dim: Dim) -> Expr | None:
        return next((s._named[dim] for s in self._scopes() if dim in s._named), None)

    def _scopes(self) -> Iterator[Sizes]:
        sizes: Sizes | None = self
        while sizes is not None:
            yield sizes
            sizes = sizes._outer

    def unclamped(self, a: Dim, b: Dim) -> Dim | None:
        """The other of both where one is min(other, a constant above 1).

        Such sizes broadcast only if they are equal: a part of a table of positions is cut at
        the table's end, and added to what must be as long.
        """
        for full, cut in ((a, b), (b, a)):
            text = next((s._definitions[cut] for s in self._scopes() if cut in s._definitions), "")
            match = re.fullmatch(r"nn_min\((.+), (\d+)\)", text)
            if match and match[1] == d.c(full) and int(match[2]) > 1:
                return full
        return None

    def learn(self, a: Dim, b: Dim) -> None:
        """A check has shown that `a` equals `b`; from here on it is written so."""
        self._equal[a] = b

    def matched(self, value: Value, dims: Sequence[Dim]) -> Value:
        """`value` with sizes that are known to equal those of `dims` written alike."""
        if not value.storage:
            return value
        behind = dims[len(dims) - value.rank :]
        own = [y if self._same(x, y) else x for x, y in zip(value.dims, behind, strict=True)]
        return replace(value, dims=tuple(own))

    def _same(self, a: Dim, b: Dim) -> bool:
        return any(s._equal.get(a) == b for s in self._scopes())
