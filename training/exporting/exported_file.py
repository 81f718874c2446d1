"""One file of an export: written in a precision, opened as the vehicle opens it, and judged."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from sg_depth_ros.contract import ModelContract
from sg_depth_ros.engines import Engine
from sg_depth_ros.engines import EngineOptions
from sg_depth_ros.engines import OnnxRuntimeOptions
from sg_depth_ros.engines import Prediction
from sg_depth_ros.engines import open_engine
from sg_depth_ros.engines.self_test import SelfTestResult
from sg_depth_ros.engines.self_test import run_self_test
from sg_depth_ros.model_file import with_contract_added
from training.exporting.graph_summary import GraphSummary
from training.exporting.graph_summary import summarize_graph
from training.exporting.half_precision import rounded_twin
from training.exporting.half_precision import to_half_precision
from training.exporting.parity import LIMITS
from training.exporting.parity import Parity
from training.exporting.parity import compare

# Learnt layers at either end of the depth network that stay in float32, tried one after the
# other until enough of the depth is within 1 %: more than a file must have, because a GPU that
# adds up in half precision loses more than the twin does. Measured (docs/results.md).
END_LAYERS = (0, 1, 5, 9)
SOUGHT_SHARE = 0.9999


class Trial(NamedTuple):
    """What a file is compared with."""

    images: list[NDArray[np.uint8]]
    truths: list[Prediction]  # of the network that is exported, in float32


class ExportedFile(NamedTuple):
    """A file's content, and what is known of it."""

    graph_bytes: bytes  # a ModelProto without metadata
    contract: ModelContract
    graph: GraphSummary
    parity: Parity
    # Of the very file in ONNX Runtime on the CPU, which rounds less; fp32: the same.
    runtime_parity: Parity
    self_test: SelfTestResult
    engine: str
    end_layers: int  # fp16: how many learnt layers at either end are float32

    @property
    def content(self) -> bytes:
        """Return the whole file."""
        return with_contract_added(self.graph_bytes, self.contract)

    @property
    def failures(self) -> tuple[str, ...]:
        """What speaks against driving with it."""
        limits = LIMITS[self.contract.precision]
        both = *limits.failures(self.parity), *limits.failures(self.runtime_parity)
        tested = () if self.self_test.passed else (self.self_test.summary(),)
        return (*dict.fromkeys(both), *tested)


def single_file(graph: ModelProto, contract: ModelContract, trial: Trial) -> ExportedFile:
    """
    Make the float32 file of a graph.

    :param graph: float32, without metadata.
    :param contract: of precision fp32, with a self-test.
    """
    return _judged(graph, graph, contract, trial, 0)


def half_file(graph: ModelProto, contract: ModelContract, trial: Trial) -> ExportedFile:
    """
    Make the half precision file of a graph, with as few layers in float32 as good agreement takes.

    Half precision is judged by a twin that rounds like a GPU, because ONNX Runtime's CPU does not.

    :param graph: float32, without metadata.
    :param contract: of precision fp16, with a self-test.
    :return: the first that agrees with room to spare, else the one that agrees best.
    """
    best: ExportedFile | None = None
    for end_layers in END_LAYERS:
        half = to_half_precision(graph, end_layers)
        if best is not None and summarize_graph(half) == best.graph:
            break  # the network has no more layers that could stay
        tried = _judged(half, rounded_twin(half), contract, trial, end_layers)
        if best is None or _rank(tried) > _rank(best):
            best = tried
        if not best.failures and _share(best) >= SOUGHT_SHARE:
            break
    assert best is not None
    return best


def _rank(file: ExportedFile) -> tuple[bool, float]:
    return not file.failures, _share(file)


def _share(file: ExportedFile) -> float:
    return min(file.parity.share_within_1_percent, file.runtime_parity.share_within_1_percent)


def _judged(
    graph: ModelProto,
    twin: ModelProto,
    contract: ModelContract,
    trial: Trial,
    end_layers: int,
) -> ExportedFile:
    graph_bytes = graph.SerializeToString()
    with _opened(with_contract_added(graph_bytes, contract)) as engine:
        runtime_parity = compare(trial.truths, engine, trial.images)
        self_test = run_self_test(engine)
        description = engine.description
    assert self_test is not None, 'the contract was written with a self-test'
    parity = runtime_parity
    if twin is not graph:
        with _opened(with_contract_added(twin.SerializeToString(), contract)) as engine:
            parity = compare(trial.truths, engine, trial.images)
    return ExportedFile(
        graph_bytes,
        contract,
        summarize_graph(graph),
        parity,
        runtime_parity,
        self_test,
        description,
        end_layers,
    )


@contextmanager
def _opened(content: bytes) -> Iterator[Engine]:
    """Open a file as the vehicle does, whatever its self-test says: it is asked for later."""
    options = EngineOptions(
        OnnxRuntimeOptions(device='cpu'), allow_fallback=False, self_test=False
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'model.onnx'
        path.write_bytes(content)
        engine = open_engine(path, 'onnxruntime', options)
        try:
            yield engine
        finally:
            engine.close()
