"""The double's network and the parser that fills it."""

import threading

import onnx

from tensorrt_double.enums import ErrorCode
from tensorrt_double.enums import Severity
from tensorrt_double.messages import ILogger
from tensorrt_double.messages import check_derived
from tensorrt_double.messages import say
from tensorrt_double.onnx_values import onnx_model
from tensorrt_double.world import NULL_POINTER
from tensorrt_double.world import Verdict


class Tensor:
    def __init__(self, value):
        self.name, self.dtype, self.shape = value.name, value.type, value.shape
        self.is_network_input, self.is_network_output = value.is_input, not value.is_input


class Network:
    def __init__(self, builder, flags):
        self.builder = builder  # which lives as long
        self.flags = flags
        self.name = ''
        self.model = None  # content of the ONNX file that a parser put in
        self.values = []
        self.num_layers = 0
        self.spoilt = False  # by a parser that failed half-way
        builder.world.born(self, 'INetworkDefinition')

    @property
    def num_inputs(self):
        return sum(value.is_input for value in self.values)

    @property
    def num_outputs(self):
        return sum(not value.is_input for value in self.values)

    def get_input(self, index):
        return Tensor([value for value in self.values if value.is_input][index])

    def get_output(self, index):
        return Tensor([value for value in self.values if not value.is_input][index])

    def get_flag(self, flag):
        return bool(self.flags >> int(flag) & 1)


class ParserError:
    def __init__(self, code, desc, node=-1, name='', operator=''):
        self._values = (code, desc, node, name, operator)

    def code(self):
        return self._values[0]

    def desc(self):
        return self._values[1]

    def node(self):
        return self._values[2]

    def node_name(self):
        return self._values[3]

    def node_operator(self):
        return self._values[4]


class OnnxParser:
    def __init__(self, world, network, logger):
        if world.call('OnnxParser'):
            raise TypeError(NULL_POINTER)
        if not isinstance(network, Network):
            raise TypeError(f'incompatible constructor arguments: {network!r}')
        check_derived(logger, ILogger)
        self._world, self._network, self._logger = world, network, logger
        self._errors = []
        self._thread = threading.get_ident()
        world.born(self, 'OnnxParser')

    @property
    def num_errors(self):
        return len(self._errors)

    def get_error(self, index):
        if not 0 <= index < len(self._errors):
            self._world.misuse(f'OnnxParser.get_error({index}) of {len(self._errors)}')
        return self._errors[index]

    def clear_errors(self):
        self._errors = []

    def parse(self, model, path=None):
        world, network = self._world, self._network
        world.check_thread(self._thread, 'the parser')
        if network.builder.has_built or network.model is not None:
            world.misuse('OnnxParser.parse into a network that was filled or built before')
        content = bytes(memoryview(model))
        errors = [ParserError(ErrorCode.INTERNAL_ERROR, 'Assertion failed: on demand')]
        if not world.call('OnnxParser.parse'):
            errors = self._fill(content)
        for error in errors:
            say(world, self._logger, Severity.ERROR, f'In node {error.node()}: {error.desc()}')
        self._errors += errors
        network.spoilt = bool(errors)
        return Verdict(world, 'OnnxParser.parse', not errors)

    def _fill(self, content):
        try:
            graph = onnx.load_from_string(content).graph
        except Exception:
            graph = None
        if graph is None or not graph.node:
            text = 'Assertion failed: Failed to parse the ONNX model.'
            return [ParserError(ErrorCode.MODEL_DESERIALIZE_FAILED, text)]
        errors = [
            ParserError(
                ErrorCode.UNSUPPORTED_NODE,
                f'Assertion failed: {node.op_type} is not supported.',
                index,
                node.name,
                node.op_type,
            )
            for index, node in enumerate(graph.node)
            if node.op_type in self._world.unsupported_operators
        ]
        if errors:
            return errors
        try:
            self._network.values = onnx_model(content).values
        except Exception as error:
            return [ParserError(ErrorCode.INVALID_GRAPH, ' '.join(str(error).split()))]
        self._network.model, self._network.num_layers = content, len(graph.node)
        return []
