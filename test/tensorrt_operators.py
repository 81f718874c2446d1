"""
What the parser of TensorRT 10.0 takes (onnx-tensorrt, docs/operators.md), and a check of a graph.

Neither the machine that exports nor the one that tests has TensorRT.
"""

import onnx
from onnx import TensorProto

TENSORRT_OPSETS = range(9, 21)
_FLOATS = frozenset(
    """
    Abs Acos Acosh Add ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization Cast
    CastLike Ceil Celu Clip Concat Constant ConstantOfShape Conv ConvTranspose Cos Cosh CumSum
    DeformConv DepthToSpace Div Dropout Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor
    GRU Gather GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool
    Greater GreaterOrEqual GridSample GroupNormalization HardSigmoid HardSwish Hardmax Identity
    If ImageScaler InstanceNormalization IsInf IsNaN LRN LSTM LayerNormalization LeakyRelu Less
    LessOrEqual Log LogSoftmax Loop LpNormalization LpPool MatMul Max MaxPool Mean
    MeanVarianceNormalization Min Mish Mod Mul Neg NonMaxSuppression NonZero OneHot PRelu Pad
    ParametricSoftplus Pow QuantizeLinear RNN RandomNormal RandomNormalLike RandomUniform
    RandomUniformLike Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax
    ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize
    ReverseSequence RoiAlign Round ScaledTanh Scan Scatter ScatterElements ScatterND Selu Shape
    Shrink Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt
    Squeeze Sub Sum Tan Tanh ThresholdedRelu Tile TopK Transpose Trilu Unsqueeze Upsample Where
    """.split()  # noqa: SIM905
)
_INTEGERS = frozenset(
    """
    Abs Add ArgMax ArgMin Cast CastLike Concat Constant DepthToSpace Div Equal Expand EyeLike
    Flatten Gather GatherElements GatherND Gelu Greater GreaterOrEqual Identity If IsNaN Less
    LessOrEqual Loop Max Mean Min Mod Mul Neg OneHot Pad Range ReduceL1 ReduceL2 ReduceLogSum
    ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu
    Reshape ReverseSequence Scatter ScatterElements ScatterND Shape Shrink Sign Size Slice
    SpaceToDepth Split Squeeze Sub Sum Tile TopK Transpose Trilu Unsqueeze Where
    """.split()  # noqa: SIM905
)
_BOOLEANS = frozenset(
    """
    And Cast CastLike Concat Constant ConstantOfShape Expand EyeLike Flatten Gather
    GatherElements GatherND Identity If Loop Not OneHot Or Reshape ReverseSequence Shape Size
    Slice Split Squeeze Tile Transpose Trilu Unsqueeze Where Xor
    """.split()  # noqa: SIM905
)
# By type of the first input, which is the type that the operators' table speaks of.
TENSORRT_OPERATORS: dict[int, frozenset[str]] = {
    TensorProto.FLOAT: _FLOATS,
    TensorProto.INT64: _INTEGERS,
    TensorProto.INT32: _INTEGERS,
    TensorProto.BOOL: _BOOLEANS,
    TensorProto.UINT8: frozenset({'Cast', 'CastLike'}),
}


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
    ranks = {w.name: len(w.dims) for w in graph.initializer}
    for value in values:
        sizes = value.type.tensor_type.shape.dim
        if not all(d.HasField('dim_value') and d.dim_value > 0 for d in sizes):
            problems.append(f'{value.name}: its size is not fixed')
    for node in graph.node:
        found = (*_type_problems(node, kinds), *_restrictions(node, ranks))
        problems += [f'{node.op_type} {node.name}: {problem}' for problem in found]
    return problems


def _type_problems(node: onnx.NodeProto, kinds: dict[str, int]) -> list[str]:
    # A conversion is of the types on both its sides.
    sides = (node.input[0], node.output[0]) if node.op_type == 'Cast' else (node.input[0],)
    return [
        f'not of {TensorProto.DataType.Name(kinds[name])}'
        for name in sides
        if node.op_type not in TENSORRT_OPERATORS.get(kinds[name], frozenset())
    ]


def _restrictions(node: onnx.NodeProto, ranks: dict[str, int]) -> list[str]:
    """
    Check what the table's last column says.

    :param ranks: of what is stored.
    """
    problems = [
        f'input {index} must be stored'
        for index in STORED_INPUTS.get(node.op_type, ())
        if index < len(node.input) and node.input[index] not in ranks
    ]
    if node.op_type == 'Conv' and ranks.get(node.input[1]) not in (4, 5):
        problems.append('2-D or 3-D only')
    if node.op_type == 'Resize':
        problems += [
            f'{a.name} {a.s!r}'
            for a in node.attribute
            if a.name in RESIZE_CHOICES and a.s not in RESIZE_CHOICES[a.name]
        ]
    return problems
