"""Small model files and what reading them says: for tests of whole and of damaged ones."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from onnx import helper
from onnx import numpy_helper
from tiny_model import tiny_contract

from sg_depth_ros.errors import UserError
from sg_depth_ros.model_file import read_model_file
from sg_depth_ros.model_file import with_contract_added
from sg_depth_ros.onnx_message import encode_bytes


def graph_of(weights=(1.0, 2.0), name='g', **model_options):
    """Return a model of one addition; functions come behind metadata in the canonical order."""
    shape = [len(weights)]
    graph = helper.make_graph(
        [helper.make_node('Add', ['x', 'w'], ['y'])],
        name,
        [helper.make_tensor_value_info('x', TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info('y', TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.array(weights, np.float32), 'w')],
    )
    opsets = [helper.make_opsetid('', 17), helper.make_opsetid('f', 1)]
    twice = helper.make_function(
        'f', 'Twice', ['a'], ['b'], [helper.make_node('Add', ['a', 'a'], ['b'])], opsets[:1]
    )
    return helper.make_model(
        graph, opset_imports=opsets, ir_version=9, functions=[twice], **model_options
    )


GRAPH = graph_of().SerializeToString()
CONTENT = with_contract_added(GRAPH, tiny_contract())


def read(model, content):
    model.write_bytes(content)
    return read_model_file(model)


def refusal(model, content):
    with pytest.raises(UserError) as refused:
        read(model, content)
    message = str(refused.value)
    assert message.startswith(f'{model}: ')
    assert message.isprintable()
    return message


def without_metadata(content):
    """Return what an ONNX library makes of a file, but for its metadata."""
    proto = onnx.load_model_from_string(content)
    del proto.metadata_props[:]
    return proto.SerializeToString(deterministic=True)


def entry(key, value):
    return encode_bytes(14, encode_bytes(1, key) + encode_bytes(2, value))
