"""
What the parser of TensorRT 10.0 takes (onnx-tensorrt, docs/operators.md), and a check of a graph.

Neither the machine that exports nor the one that tests needs TensorRT for it.
"""

from collections.abc import Iterator

import onnx
from onnx import TensorProto

TENSORRT_OPSETS = range(9, 21)
_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16)
_NUMBERS = (*_FLOATS, TensorProto.INT32, TensorProto.INT64)
_ANYTHING = (*_NUMBERS, TensorProto.BOOL)
# Every operator of the table by the types it takes, but those of quantisation.
_BY_TYPES: dict[tuple[int, ...], str] = {
    _FLOATS: """
        Acos Acosh Asin Asinh Atan Atanh AveragePool BatchNormalization Ceil Celu Clip Conv
        ConvTranspose Cos Cosh CumSum Dropout Einsum Elu Erf Exp Floor GRU Gemm GlobalAveragePool
        GlobalLpPool GlobalMaxPool GroupNormalization HardSigmoid HardSwish Hardmax ImageScaler
        InstanceNormalization IsInf LRN LSTM LayerNormalization LeakyRelu Log LogSoftmax
        LpNormalization LpPool MatMul MaxPool MeanVarianceNormalization PRelu ParametricSoftplus
        Pow RNN RandomNormal RandomNormalLike RandomUniform RandomUniformLike Reciprocal Resize
        Round ScaledTanh Scan Selu Sigmoid Sin Sinh Softmax Softplus Softsign Sqrt Tan Tanh
        ThresholdedRelu Upsample
    """,
    (TensorProto.FLOAT, TensorProto.FLOAT16): """
        DeformConv GridSample Mish NonMaxSuppression NonZero RoiAlign
    """,
    _NUMBERS: """
        Abs Add ArgMax ArgMin DepthToSpace Div Equal Gelu Greater GreaterOrEqual IsNaN Less
        LessOrEqual Max Mean Min Mod Mul Neg Pad Range ReduceL1 ReduceL2 ReduceLogSum
        ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu
        Scatter ScatterElements ScatterND Shrink Sign SpaceToDepth Sub Sum TopK
    """,
    _ANYTHING: """
        Concat Constant ConstantOfShape Expand EyeLike Flatten Gather GatherElements GatherND
        Identity If Loop OneHot Reshape ReverseSequence Shape Size Slice Split Squeeze Tile
        Transpose Trilu Unsqueeze Where
    """,
    (*_ANYTHING, TensorProto.UINT8): 'Cast CastLike',
    (TensorProto.BOOL,): 'And Not Or Xor',
}
TENSORRT_OPERATORS: dict[str, tuple[int, ...]] = {
    name: kinds for kinds, names in _BY_TYPES.items() for name in names.split()
}
# Results and parameters that do not share an operator's type, such as indices or a condition.
_PARAMETERS = frozenset({TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL})

RESIZE_CHOICES = {
    'mode': (b'nearest', b'linear'),
    'coordinate_transformation_mode': (
        b'half_pixel',
        b'pytorch_half_pixel',
        b'tf_half_pixel_for_nn',
        b'asymmetric',
        b'align_corners',
    ),
    'nearest_mode': (b'floor', b'ceil', b'round_prefer_floor', b'round_prefer_ceil'),
}
# Inputs that must be stored, by operator.
STORED_INPUTS = {
    'Conv': (1,),
    'ConvTranspose': (1,),
    'CumSum': (1,),
    'InstanceNormalization': (1, 2),
    'Slice': (3,),
    'Squeeze': (1,),
    'Unsqueeze': (1,),
    'TopK': (1,),
}


def tensorrt_problems(model: onnx.ModelProto) -> list[str]:
    """
    Return what TensorRT would not take, one line each.

    Operators, their types, opset, fixed sizes, and restrictions of the operators that we use.
    """
    problems = [
        f'opset {o.domain or "ai.onnx"} {o.version}'
        for o in model.opset_import
        if o.domain or o.version not in TENSORRT_OPSETS
    ]
    problems += [f'function {f.name}' for f in model.functions]
    graph = onnx.shape_inference.infer_shapes(model).graph
    values = (*graph.value_info, *graph.input, *graph.output)
    kinds = {v.name: v.type.tensor_type.elem_type for v in values}
    kinds |= {w.name: w.data_type for w in graph.initializer}
    stored = {w.name: len(w.dims) for w in graph.initializer}
    ranks = {v.name: len(v.type.tensor_type.shape.dim) for v in values} | stored
    for value in values:
        sizes = value.type.tensor_type.shape.dim
        if not all(d.HasField('dim_value') and d.dim_value > 0 for d in sizes):
            problems.append(f'{value.name}: its size is not fixed')
    ends = {v.name for v in (*graph.input, *graph.output)}
    problems += [
        f'{name}: bytes within the network'
        for name, kind in kinds.items()
        if kind == TensorProto.UINT8 and name not in ends
    ]
    opset = next(o.version for o in model.opset_import if not o.domain)
    for node in graph.node:
        found = (*_type_problems(node, kinds, opset), *_restrictions(node, stored, ranks))
        problems += [f'{node.op_type} {node.name}: {problem}' for problem in found]
    return problems


def _type_problems(node: onnx.NodeProto, kinds: dict[str, int], opset: int) -> Iterator[str]:
    """
    Check the types of all inputs and outputs.

    :param kinds: of every value.
    """
    taken = TENSORRT_OPERATORS.get(node.op_type)
    if taken is None:
        yield 'no such operator'
        return
    schema = onnx.defs.get_schema(node.op_type, opset, node.domain)
    for names, formals in ((node.input, schema.inputs), (node.output, schema.outputs)):
        for position, name in enumerate(names):
            # The last formal parameter may stand for any number.
            formal = formals[min(position, len(formals) - 1)]
            kind = kinds[name] if name else None
            if kind is None or kind in taken:
                continue
            # What can be a float has the operator's type; the rest are parameters. A fixed type,
            # such as that of Resize's scales, is not the operator's either.
            is_typed = 'tensor(float)' in formal.types and len(formal.types) > 1
            if is_typed or (kind not in _PARAMETERS and kind != TensorProto.FLOAT):
                yield f'not of {TensorProto.DataType.Name(kind)} ({name})'


def _restrictions(
    node: onnx.NodeProto, stored: dict[str, int], ranks: dict[str, int]
) -> list[str]:
    """
    Check what the table's last column says.

    :param stored: number of dimensions of what is stored, ``ranks`` of everything.
    """
    problems = [
        f'input {index} must be stored'
        for index in STORED_INPUTS.get(node.op_type, ())
        if index < len(node.input) and node.input[index] not in stored
    ]
    rank = ranks.get(node.input[0]) if node.input else None
    if node.op_type in ('Conv', 'ConvTranspose', 'AveragePool', 'MaxPool') and rank not in (4, 5):
        problems.append('2-D or 3-D only')
    if node.op_type == 'MaxPool' and len(node.output) > 1:
        problems.append('gives no indices')
    if node.op_type == 'InstanceNormalization' and rank not in (3, 4, 5):
        problems.append('3 to 5 dimensions only')
    if node.op_type == 'Resize':
        problems += [
            f'{a.name} {a.s!r}'
            for a in node.attribute
            if a.name in RESIZE_CHOICES and a.s not in RESIZE_CHOICES[a.name]
        ]
    return problems
