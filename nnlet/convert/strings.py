"""strings: a graph over strings becomes the same graph over integers.

wasi-nn has no strings. Converters only ever compare them: a category with those of an encoder,
a label with the classes. So every string of the graph gets a number, and the words stay in
model.toml: a caller sends "Utrecht", the function sends its index, the model computes with it.

Values that meet (in a Concat, a Where) share their numbers: a region. In the region of one
input the numbers are the indices into that column's categories; where several columns meet,
each is translated as it comes in. Labels become indices into the classes, in their order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from nnlet.convert.converted import Array
from nnlet.errors import ConvertError
from nnlet.signature import ColumnSpec, Scalar

STRING = TensorProto.STRING
MISSING = "nan"  # what converters write for a missing value among strings
UNKNOWN = -1  # as model.toml says: the index of a category that is not listed

# Operators that hand strings on, and which of their inputs these are (None: all).
_HAND_ON: dict[str, tuple[int, ...] | None] = {
    "ArrayFeatureExtractor": (0,),
    "Concat": None,
    "Expand": (0,),
    "Flatten": (0,),
    "Gather": (0,),
    "GatherElements": (0,),
    "GatherND": (0,),
    "Identity": None,
    "Reshape": (0,),
    "Slice": (0,),
    "Split": (0,),
    "Squeeze": (0,),
    "Tile": (0,),
    "Transpose": (0,),
    "Unsqueeze": (0,),
    "Where": (1, 2),
}
_EQUAL = "Equal"
# Attributes that list strings: what is read (keys) and what is made (values).
_KEYS = {"LabelEncoder": "keys_strings", "OneHotEncoder": "cats_strings"}
_MADE = {
    "LabelEncoder": "values_strings",
    "LinearClassifier": "classlabels_strings",
    "SVMClassifier": "classlabels_strings",
    "TreeEnsembleClassifier": "classlabels_strings",
}
_CLASSIFIERS = {"LinearClassifier", "SVMClassifier", "TreeEnsembleClassifier"}


@dataclass(frozen=True)
class Encoded:
    """A graph without strings. `categories` by input: what its indices mean. `strict`: inputs of
    which a reader refuses a category that it does not list; `tolerant`: those of which every
    reader takes one. `labels`: the words of
    the outputs that were strings, by index."""

    proto: onnx.ModelProto
    categories: Mapping[str, tuple[Scalar, ...]]
    strict: frozenset[str] = frozenset()
    tolerant: frozenset[str] = frozenset()
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def column(self, name: str, ignores: bool, called: str = "") -> ColumnSpec:
        """The column of an input, which callers know as `called` (as the input if empty).

        `ignores`: the library takes unknown categories.
        """
        categories = self.categories[name]
        return ColumnSpec(
            name=called or name,
            type="category",
            input=name,
            categories=categories,
            unknown="ignore" if self._takes_unknown(name, ignores) else "error",
            missing=MISSING if MISSING in categories else None,
        )

    def _takes_unknown(self, name: str, ignores: bool) -> bool:
        return name not in self.strict and (ignores or name in self.tolerant)


def texts(values: Array) -> Array:
    """Strings [rows, 1] with MISSING where None is."""
    found = np.array([MISSING if v is None else str(v) for v in values], object)
    return found.reshape(-1, 1)


def encoded_feeds(feeds: Mapping[str, Array], encoded: Encoded) -> dict[str, Array]:
    """The sample with indices for strings."""
    found = dict(feeds)
    for name, categories in encoded.categories.items():
        index = {category: n for n, category in enumerate(categories)}
        values = [index.get(v, UNKNOWN) for v in feeds[name].reshape(-1)]
        found[name] = np.array(values, np.int64).reshape(feeds[name].shape)
    return found


def encode(
    proto: onnx.ModelProto,
    seen: Mapping[str, Sequence[Scalar]],
    known: Mapping[str, Sequence[Scalar]],
    classes: Mapping[str, Sequence[Scalar]],
) -> Encoded:
    """The model over integers. `seen`: categories in the sample by input; `known`: those that
    must keep their index; `classes`: those of each output of labels, in order.

    Labels that are integers already become indices too. Raises ConvertError for an operator
    that does more with strings than to compare them.
    """
    graph = proto.graph
    regions = _regions(graph)
    inputs = {v.name for v in graph.input if _is_string(v)}
    outputs = {v.name for v in graph.output if _is_string(v)}
    tables: dict[str, list[str]] = {}
    categories: dict[str, tuple[Scalar, ...]] = {}
    for root, region in regions.items():
        mine = [name for name in region.names if name in inputs]
        tables[root] = _vocabulary(region, mine, seen, known, classes)
        for name in mine:
            categories[name] = tuple(_listed(region, name, seen, known, tables[root]))
    strict = frozenset(n for r in regions.values() if r.strict for n in r.names & inputs)
    tolerant = frozenset(n for r in regions.values() if r.tolerant for n in r.names & inputs)
    _rewrite(graph, regions, tables)
    _translate_inputs(graph, regions, tables, categories)
    for output, names in classes.items():
        _as_index(graph, output, names)
    labels = {
        name: tuple(tables[root])
        for root, region in regions.items()
        for name in sorted(region.names & outputs)
    }
    return Encoded(proto, categories, strict, tolerant, labels)


@dataclass
class Region:
    """Values that share their numbers. `words`: the strings of its nodes, as they come.

    `strict`: a reader refuses what it does not list; `tolerant`: the graph says of every reader
    that it does not (of a LabelEncoder it cannot tell).
    """

    names: set[str]
    words: list[str]
    tolerant: bool = True
    strict: bool = False


def _regions(graph: onnx.GraphProto) -> dict[str, Region]:
    """The regions of string values, by one of their names."""
    parent: dict[str, str] = {}

    def find(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    def join(names: Sequence[str]) -> None:
        roots = [find(name) for name in names]
        for root in roots[1:]:
            parent[find(root)] = find(roots[0])

    for value in graph.input:
        if _is_string(value):
            parent[value.name] = value.name
    for tensor in graph.initializer:
        if tensor.data_type == STRING:
            parent[tensor.name] = tensor.name
    for node in graph.node:
        for name in _made(node, parent):
            parent[name] = name
        for met in _meetings(node, parent):
            join(met)
    regions: dict[str, Region] = {}
    for name in parent:
        regions.setdefault(find(name), Region(set(), [])).names.add(name)
    of = {name: regions[find(name)] for name in parent}
    for node in graph.node:
        _note_words(node, of)
    for tensor in graph.initializer:
        if tensor.data_type == STRING:
            of[tensor.name].words += _decoded(numpy_helper.to_array(tensor).reshape(-1))
    return regions


def _made(node: onnx.NodeProto, strings: Mapping[str, str]) -> list[str]:
    """The outputs of a node that are strings. Raises ConvertError for an unknown operator."""
    reads = [name for name in node.input if name in strings]
    op = node.op_type
    if _attribute(node, _MADE.get(op, "")) is not None:
        return [node.output[0]]
    if op == "Constant" and _constant_type(node) == STRING:
        return list(node.output)
    if op == "Cast" and _integer(node, "to") == STRING:
        if not reads:
            raise _refused(node, "numbers become strings in it")
        return list(node.output)
    if not reads:
        return []
    if op in _HAND_ON:
        return list(node.output)
    if op in _KEYS or op == _EQUAL:
        return []
    raise _refused(node, "it does more with strings than to compare them")


def _refused(node: onnx.NodeProto, why: str) -> ConvertError:
    return ConvertError(
        f"node {node.name!r} ({node.op_type}) cannot be served: {why}, and wasi-nn has no "
        "strings: compute that step before the function is called"
    )


def _meetings(node: onnx.NodeProto, strings: Mapping[str, str]) -> Iterator[list[str]]:
    """Which values share numbers because of a node."""
    op = node.op_type
    reads = [name for name in node.input if name in strings]
    if op == _EQUAL and reads:
        yield reads
    elif (op in _HAND_ON or op == "Cast") and reads:
        places = _HAND_ON.get(op)
        met = reads if places is None else [node.input[i] for i in places]
        yield [*met, *(name for name in node.output if name in strings)]


def _note_words(node: onnx.NodeProto, regions: Mapping[str, Region]) -> None:
    op = node.op_type
    for table, value in ((_KEYS, node.input), (_MADE, node.output)):
        words = _attribute(node, table.get(op, ""))
        if words is not None and value[0] in regions:
            region = regions[value[0]]
            found = _decoded(words)
            # An encoder's list comes before the single words that an imputer looks for.
            region.words[:] = [*found, *region.words] if len(found) > 1 else [*region.words, *found]
            if op == "OneHotEncoder":
                region.strict |= _integer(node, "zeros", 1) == 0
            else:
                region.tolerant = False
    default = _attribute(node, "default_string")
    if op == "LabelEncoder" and default is not None and node.output[0] in regions:
        regions[node.output[0]].words += _decoded([default])
    if op == "Constant" and node.output[0] in regions:
        array = numpy_helper.to_array(_attribute(node, "value"))
        regions[node.output[0]].words += _decoded(array.reshape(-1))


def _vocabulary(
    region: Region,
    inputs: Sequence[str],
    seen: Mapping[str, Sequence[Scalar]],
    known: Mapping[str, Sequence[Scalar]],
    classes: Mapping[str, Sequence[Scalar]],
) -> list[str]:
    """The words of a region; a word's place is its number.

    First those whose place is fixed: classes, and categories that model.toml lists already.
    Then the model's own, and last what stands for a missing value.
    """
    fixed: list[str] = []
    for output in sorted(region.names.intersection(classes)):
        fixed += [str(name) for name in classes[output]]
    for name in inputs:
        fixed += [str(category) for category in known.get(name, ())]
    own = region.words or [str(c) for name in inputs for c in seen.get(name, ())]
    words = [word for word in dict.fromkeys([*fixed, *own]) if word != MISSING or word in fixed]
    if MISSING in own and MISSING not in words:
        words.append(MISSING)
    return words


def _listed(
    region: Region,
    name: str,
    seen: Mapping[str, Sequence[Scalar]],
    known: Mapping[str, Sequence[Scalar]],
    words: Sequence[str],
) -> Sequence[str]:
    """The categories of one input: the region's words, as far as they are this column's."""
    others = [other for other in region.names if other in seen and other != name]
    if not others:
        return words
    mine = {str(c) for c in (*known.get(name, ()), *seen.get(name, ()))}
    return [word for word in words if word in mine or word == MISSING]


# Rewriting --------------------------------------------------------------------


def _rewrite(
    graph: onnx.GraphProto, regions: Mapping[str, Region], tables: Mapping[str, Sequence[str]]
) -> None:
    codes = {
        name: {word: n for n, word in enumerate(tables[root])}
        for root, region in regions.items()
        for name in region.names
    }
    for node in graph.node:
        _rewrite_node(node, codes)
    for n, tensor in enumerate(graph.initializer):
        if tensor.data_type == STRING:
            graph.initializer[n].CopyFrom(_numbers(tensor, codes[tensor.name]))
    for value in (*graph.input, *graph.output, *graph.value_info):
        if _is_string(value):
            value.type.tensor_type.elem_type = TensorProto.INT64


def _rewrite_node(node: onnx.NodeProto, codes: Mapping[str, Mapping[str, int]]) -> None:
    op = node.op_type
    reads = codes.get(node.input[0]) if node.input else None
    makes = codes.get(node.output[0])
    if reads is not None and op in _KEYS:
        words = _decoded(_take(node, _KEYS[op]) or ())
        _set(node, _KEYS[op].replace("strings", "int64s"), [reads[word] for word in words])
    if makes is not None and op in _MADE:
        words = _decoded(_take(node, _MADE[op]) or ())
        attribute = "classlabels_ints" if op in ("LinearClassifier", "SVMClassifier") else ""
        attribute = attribute or _MADE[op].replace("strings", "int64s")
        _set(node, attribute, [makes[word] for word in words])
        default = _take(node, "default_string")
        if op == "LabelEncoder":
            word = _decoded([default])[0] if default is not None else None
            _set(node, "default_int64", UNKNOWN if word is None else makes[word])
    if op == "Cast" and makes is not None:
        node.op_type = "Identity"
        del node.attribute[:]
    if op == "Constant" and makes is not None:
        tensor = _numbers(_take(node, "value"), makes)
        node.attribute.append(helper.make_attribute("value", tensor))


def _numbers(tensor: onnx.TensorProto, codes: Mapping[str, int]) -> onnx.TensorProto:
    words = numpy_helper.to_array(tensor)
    found = np.array([codes[word] for word in _decoded(words.reshape(-1))], np.int64)
    return numpy_helper.from_array(found.reshape(words.shape), tensor.name)


def _translate_inputs(
    graph: onnx.GraphProto,
    regions: Mapping[str, Region],
    tables: Mapping[str, Sequence[str]],
    categories: Mapping[str, Sequence[Scalar]],
) -> None:
    """Where a column's indices are not its region's numbers: look them up. The last place of
    the table is for index -1, which is what an unknown category comes as."""
    for root, region in regions.items():
        place = {word: n for n, word in enumerate(tables[root])}
        for name in sorted(region.names.intersection(categories)):
            numbers = [place[str(category)] for category in categories[name]]
            if numbers == list(range(len(numbers))):
                continue
            table, result = f"{name}/numbers", f"{name}/number"
            for node in graph.node:
                node.input[:] = [result if read == name else read for read in node.input]
            graph.initializer.append(
                numpy_helper.from_array(np.array([*numbers, UNKNOWN], np.int64), table)
            )
            graph.node.insert(0, helper.make_node("Gather", [table, name], [result], result))


def _as_index(graph: onnx.GraphProto, output: str, classes: Sequence[Scalar]) -> None:
    """Let an output of labels be the index into `classes`, where it is the label itself."""
    numbers = [n for n in classes if isinstance(n, (int, float))]
    if len(numbers) < len(classes) or [int(n) for n in numbers] == list(range(len(numbers))):
        return  # strings are indices already
    before = f"{output}/class"
    for node in graph.node:
        node.output[:] = [before if name == output else name for name in node.output]
        node.input[:] = [before if name == output else name for name in node.input]
    graph.node.append(
        helper.make_node(
            "LabelEncoder",
            [before],
            [output],
            f"{output}/index",
            domain="ai.onnx.ml",
            keys_int64s=[int(n) for n in numbers],
            values_int64s=list(range(len(numbers))),
            default_int64=UNKNOWN,
        )
    )


# Attributes -------------------------------------------------------------------


def _is_string(value: onnx.ValueInfoProto) -> bool:
    return bool(value.type.tensor_type.elem_type == STRING)


def _attribute(node: onnx.NodeProto, name: str) -> Any:
    for attribute in node.attribute:
        if attribute.name == name:
            return helper.get_attribute_value(attribute)
    return None


def _integer(node: onnx.NodeProto, name: str, default: int = 0) -> int:
    found = _attribute(node, name)
    return default if found is None else int(found)


def _constant_type(node: onnx.NodeProto) -> int:
    value = _attribute(node, "value")
    if isinstance(value, onnx.TensorProto):
        return int(value.data_type)
    if _attribute(node, "value_string") is not None or _attribute(node, "value_strings"):
        raise _refused(node, "it is a constant in a form that nnlet does not read")
    return 0


def _take(node: onnx.NodeProto, name: str) -> Any:
    """The value of an attribute, which is taken away."""
    found = _attribute(node, name)
    kept = [attribute for attribute in node.attribute if attribute.name != name]
    del node.attribute[:]
    node.attribute.extend(kept)
    return found


def _set(node: onnx.NodeProto, name: str, values: Any) -> None:
    node.attribute.append(helper.make_attribute(name, values))


def _decoded(words: Any) -> list[str]:
    return [word.decode() if isinstance(word, bytes) else str(word) for word in words]
