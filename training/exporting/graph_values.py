"""The values of an ONNX graph: their types, who gives them and who takes them."""

from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto
from onnx import ModelProto
from onnx import TensorProto

from sg_depth_ros.errors import UserError

# Inputs that are float32 whatever the type of the others: Resize's region and its scales.
ALWAYS_FLOAT32 = frozenset({('Resize', 1), ('Resize', 2)})
FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)


class GraphValues:
    """
    A graph, read once.

    :param model: of fixed sizes and without control flow; stays as it is.
    :raises UserError: for control flow, whose inner graphs take outer values unseen.
    """

    def __init__(self, model: ModelProto) -> None:
        self.graph: GraphProto = model.graph
        self.opset: int = next(o.version for o in model.opset_import if not o.domain)
        for node in self.graph.node:
            if any(a.type == onnx.AttributeProto.GRAPH for a in node.attribute):
                raise UserError(
                    f'the graph branches or loops ({node.op_type} {node.name}): such a network '
                    'cannot be written in half precision; use --precision fp32'
                )
        self.constants: dict[str, NDArray[np.generic]] = {
            w.name: onnx.numpy_helper.to_array(w) for w in self.graph.initializer
        }
        self.producer: dict[str, int] = {}
        self.consumers: dict[str, list[int]] = defaultdict(list)
        for i, node in enumerate(self.graph.node):
            self.producer.update(dict.fromkeys(node.output, i))
            for name in dict.fromkeys(node.input):
                self.consumers[name].append(i)
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
        described = (*inferred.value_info, *inferred.input, *inferred.output)
        self.kinds: dict[str, int] = {v.name: v.type.tensor_type.elem_type for v in described}
        self.kinds |= {w.name: w.data_type for w in self.graph.initializer}
        self.shapes: dict[str, tuple[int, ...]] = {
            v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim) for v in described
        }
        self.shapes |= {w.name: tuple(w.dims) for w in self.graph.initializer}

    @cached_property
    def float_names(self) -> frozenset[str]:
        """Return the values that are numbers with a fraction, constants included."""
        return frozenset(name for name, kind in self.kinds.items() if kind in FLOATS)

    def float_inputs(self, at: int) -> list[int]:
        """Return which of an operator's inputs follow its type."""
        node = self.graph.node[at]
        return [
            k
            for k, name in enumerate(node.input)
            if name in self.float_names and (node.op_type, k) not in ALWAYS_FLOAT32
        ]

    def float_outputs(self, at: int) -> list[str]:
        """Return which of an operator's outputs have its type."""
        return [name for name in self.graph.node[at].output if name in self.float_names]

    def has_floats(self, at: int) -> bool:
        """Say whether an operator has a type to choose."""
        return bool(self.float_inputs(at) or self.float_outputs(at))

    def computed_inputs(self, at: int) -> list[str]:
        """Return what an operator takes of its own type, constants aside."""
        node = self.graph.node[at]
        names = dict.fromkeys(node.input[k] for k in self.float_inputs(at))
        return [name for name in names if name not in self.constants]

    def neighbours(self, at: int) -> set[int]:
        """Return the operators that an operator hands floats to or takes them from."""
        names = self.computed_inputs(at)
        given = {self.producer[name] for name in names if name in self.producer}
        taken = {i for name in self.float_outputs(at) for i in self.consumers[name]}
        return given | {i for i in taken if self.float_inputs(i)}

    def ancestors(self, names: Iterable[str]) -> set[int]:
        """Return all operators that some values depend on."""
        ends, found = list(names), set()
        while ends:
            at = self.producer.get(ends.pop())
            if at is not None and at not in found:
                found.add(at)
                ends.extend(self.graph.node[at].input)
        return found

    def cast_count(self, single_nodes: set[int], half_nodes: set[int], island: set[int]) -> int:
        """
        Count the casts at the border of some operators.

        :param single_nodes: that compute in float32, ``half_nodes`` in half precision; those that
            are in neither have not been decided and cost nothing.
        :param island: the operators to count for.
        """
        names = {name for at in island for name in self.computed_inputs(at)}
        names |= {name for at in island for name in self.float_outputs(at)}
        count = 0
        for name in names:
            takers = [i for i in self.consumers[name] if name in self.computed_inputs(i)]
            # What no operator gives comes from outside, in float32.
            outside = name not in self.producer
            ends = set(takers) if outside else {self.producer[name], *takers}
            count += bool(outside or ends & single_nodes) and bool(ends & half_nodes)
        return count
