"""
The ways to run a network that benchmarks/engines.py compares, each opened in a process of its own.

Libraries are imported where they are used: a process holds what its way needs and nothing else.
"""

import gc
import time
from collections.abc import Callable
from contextlib import nullcontext
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any
from typing import Literal
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from sg_depth_ros.engines.onnxruntime_session import load_onnxruntime
from sg_depth_ros.engines.onnxruntime_session import open_cpu_session
from sg_depth_ros.engines.onnxruntime_session import open_cuda_session
from sg_depth_ros.model_file import read_model_file

if TYPE_CHECKING:
    from training.networks.guided import GuidedDepthNetwork

OUTPUT_NAMES = ('depth', 'labels', 'confidence')
WARM_UP_RUNS = 3


class Job(NamedTuple):
    """A network on a device."""

    architecture: Any
    guidance: Any
    width: int
    height: int
    precision: Literal['fp32', 'tf32', 'fp16']  # tf32: of products on CUDA; the file is float32
    end_layers: int  # fp16: learnt layers that stay in float32 at either end of the depth network
    device: Literal['cpu', 'cuda']
    threads: int  # of the CPU

    @property
    def name(self) -> str:
        """Return what the table is called."""
        network = self.architecture
        if self.guidance != 'none':
            network += f'+{self.guidance}'
        ends = f', {self.end_layers} layers at either end fp32'
        return (
            f'{network} {self.width}x{self.height} {self.precision}'
            f'{ends * (self.precision == "fp16" and self.end_layers > 0)}'
        )

    @property
    def tf32(self) -> bool:
        """Whether products are rounded to 10 bits of mantissa."""
        return self.precision == 'tf32'


class Way(NamedTuple):
    """A network that is ready to run."""

    description: str
    infer: Callable[[NDArray[np.uint8]], tuple[NDArray[Any], ...]]  # image (H, W, 3) to arrays
    run_network: Callable[[], object] | None = None  # on the last image, without copies


class Opened(NamedTuple):
    """What a process says when its way is ready."""

    description: str
    open_s: float
    depth_m: NDArray[np.float32]
    times_network: bool


class Memory(NamedTuple):
    """Of a process, libraries included."""

    peak_mib: float  # as a rule while it opens
    now_mib: float


class Unavailable(NamedTuple):
    """Why a way cannot be had here."""

    reason: str


def random_network(job: Job) -> 'GuidedDepthNetwork':
    """Return the network as it is deployed, packings folded; the same weights in each process."""
    import torch

    from training.exporting.folding import fold_for_export
    from training.networks.depth import DepthNetworkConfig
    from training.networks.guided import GuidedDepthNetwork
    from training.networks.segmentation import SegmentationConfig
    from training.networks.segmentation import SegmentationNetwork

    torch.manual_seed(0)
    semantic = None if job.guidance == 'none' else SegmentationNetwork(SegmentationConfig())
    config = DepthNetworkConfig(architecture=job.architecture, guidance=job.guidance)
    network = GuidedDepthNetwork(config, semantic).eval()
    return fold_for_export(network, job.height, job.width)[0]


def export(job: Job, path: Path) -> float:
    """Write the model file of a job, and return the GMAC of its convolutions."""
    from sg_depth_ros.camera import Intrinsics
    from sg_depth_ros.model_file import with_contract_added
    from training.checkpoint import LoadedDepth
    from training.checkpoint import model_contract
    from training.exporting.graph_summary import summarize_graph
    from training.exporting.half_precision import to_half_precision
    from training.exporting.onnx_graph import build_graph
    from training.provenance import Provenance
    from training.torch_engine import ExportableModel

    f_px = 0.58 * job.width
    center_px = ((job.width - 1) / 2, (job.height - 1) / 2)
    camera = Intrinsics(f_px, f_px, *center_px, job.width, job.height)
    network = random_network(job)
    model = build_graph(ExportableModel(network).eval(), job.height, job.width)
    gmac = summarize_graph(model).gmac
    if job.precision == 'fp16':
        model = to_half_precision(model, job.end_layers)
    loaded = LoadedDepth(network, Provenance(camera, 'none', 1, '0' * 64, '0' * 64, 'unknown'))
    contract = model_contract(loaded, 'fp16' if job.precision == 'fp16' else 'fp32', None)
    path.write_bytes(with_contract_added(model.SerializeToString(), contract))
    return gmac


def open_session(job: Job, model: Path) -> Way:
    """ONNX Runtime as its documentation runs it, with the options of our engine."""
    file = read_model_file(model)
    cuda = job.device == 'cuda'
    session = (
        open_cuda_session(file, tf32=job.tf32) if cuda else open_cpu_session(file, job.threads)
    )

    def infer(image: NDArray[np.uint8]) -> tuple[NDArray[Any], ...]:
        return tuple(session.run(OUTPUT_NAMES, {'image': image[None]}))

    return Way(f'ONNX Runtime {load_onnxruntime().__version__}, session.run', infer)


def open_engine(job: Job, model: Path) -> Way:
    """Ours."""
    engine = OnnxRuntimeEngine(read_model_file(model), job.device, job.threads, tf32=job.tf32)
    return Way(engine.description, engine.infer, engine.run_network)


def open_eager(job: Job, model: Path, compiled: str | None = None) -> Way:
    """PyTorch; half precision by autocast, TensorFloat-32 where it is asked for, as the others."""
    import torch

    from training.torch_engine import ExportableModel

    torch.set_num_threads(job.threads)
    torch.backends.cudnn.allow_tf32 = job.tf32
    torch.backends.cudnn.benchmark = True
    device = torch.device(job.device)
    module = ExportableModel(random_network(job)).eval().to(device)
    network: Any = module
    if compiled is not None:
        network = torch.compile(module, dynamic=False, mode=compiled)
    on_device = torch.zeros((1, job.height, job.width, 3), dtype=torch.uint8, device=device)

    def run_network() -> Any:
        half = torch.autocast(job.device, torch.float16)
        with torch.no_grad(), half if job.precision == 'fp16' else nullcontext():
            outputs = network(on_device)
        if job.device == 'cuda':
            torch.cuda.synchronize()
        return outputs

    def infer(image: NDArray[np.uint8]) -> tuple[NDArray[Any], ...]:
        on_device.copy_(torch.from_numpy(image)[None])
        return tuple(output.cpu().numpy() for output in run_network())

    how = 'eager' if compiled is None else f'torch.compile, {compiled}'
    return Way(f'PyTorch {torch.__version__}, {how}', infer, run_network)


def open_compiled(job: Job, model: Path) -> Way:
    """PyTorch compiled by inductor."""
    return open_eager(job, model, 'default')


def open_graphs(job: Job, model: Path) -> Way:
    """The same with CUDA graphs, which spare the launches of kernels."""
    if job.device != 'cuda':
        raise ValueError('CUDA graphs are for CUDA')
    return open_eager(job, model, 'reduce-overhead')


def open_openvino(job: Job, model: Path) -> Way:
    """OpenVINO on the same file; its own choice would be bfloat16 where the CPU has it."""
    import openvino

    if job.device != 'cpu':
        raise ValueError('OpenVINO is for the CPU')
    options = {
        'INFERENCE_NUM_THREADS': job.threads,
        'NUM_STREAMS': 1,
        'PERFORMANCE_HINT': 'LATENCY',
        'INFERENCE_PRECISION_HINT': 'f32',
    }
    network = openvino.Core().compile_model(str(model), 'CPU', options)
    request = network.create_infer_request()

    def infer(image: NDArray[np.uint8]) -> tuple[NDArray[Any], ...]:
        results = request.infer([image[None]], share_inputs=True, share_outputs=False)
        return tuple(results[name] for name in OUTPUT_NAMES)

    return Way(f'OpenVINO {openvino.__version__}', infer)


WAYS: dict[str, Callable[[Job, Path], Way]] = {
    'session': open_session,
    'engine': open_engine,
    'eager': open_eager,
    'compile': open_compiled,
    'graphs': open_graphs,
    'openvino': open_openvino,
}
DEVICE_WAYS = {
    'cpu': ('session', 'engine', 'eager', 'compile', 'openvino'),
    'cuda': ('session', 'engine', 'eager', 'compile', 'graphs'),
}


def test_image(job: Job) -> NDArray[np.uint8]:
    """Return noise (H, W, 3)."""
    shape = (job.height, job.width, 3)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def serve(connection: Connection, name: str, job: Job, model: Path) -> None:
    """
    Open a way and run it when told to; the main function of a process.

    Sends ``Opened`` or ``Unavailable``. Then answers a number of runs by their times in
    milliseconds, a negative one by those of the network alone, and 0 by its memory.
    """
    image = test_image(job)
    started_s = time.perf_counter()
    try:
        way = WAYS[name](job, model)
        depth_m = np.array(way.infer(image)[0], np.float32)
    except Exception as error:  # a library that is missing or does not work: the others do
        connection.send(Unavailable(f'{type(error).__name__}: {" ".join(str(error).split())}'))
        return
    open_s = time.perf_counter() - started_s
    for _ in range(WARM_UP_RUNS):
        way.infer(image)
    gc.disable()
    connection.send(Opened(way.description, open_s, depth_m, way.run_network is not None))
    while True:
        try:
            runs = connection.recv()
        except EOFError:
            return
        if runs == 0:
            connection.send(own_memory())
        elif runs > 0:
            way.infer(image)  # the caches are full of the others' weights
            connection.send([milliseconds(lambda: way.infer(image), job) for _ in range(runs)])
        elif way.run_network is not None:
            way.run_network()
            connection.send([milliseconds(way.run_network, job) for _ in range(-runs)])


def engine_against_session(job: Job, model: Path, pairs: int) -> tuple[list[float], list[float]]:
    """Return milliseconds of our engine and of the raw session, call by call in one process."""
    engine, session = open_engine(job, model), open_session(job, model)
    image = test_image(job)
    for _ in range(WARM_UP_RUNS):
        engine.infer(image)
        session.infer(image)
    gc.disable()
    engine_ms: list[float] = []
    session_ms: list[float] = []
    for pair in range(pairs):
        both = [(engine, engine_ms), (session, session_ms)]
        for way, times_ms in both if pair % 2 else both[::-1]:
            times_ms.append(milliseconds(lambda: way.infer(image), job))  # noqa: B023
    return engine_ms, session_ms


def milliseconds(work: Callable[[], object], job: Job) -> float:
    """Time one call: in CPU time where one thread does it all, which others do not disturb."""
    alone = job.device == 'cpu' and job.threads == 1
    clock_ns = time.process_time_ns if alone else time.perf_counter_ns
    started_ns = clock_ns()
    work()
    return (clock_ns() - started_ns) / 1e6


def own_memory() -> Memory:
    """
    Return how much memory this process has.

    ``getrusage`` would also count what the process that started it had then.
    """
    pairs = (line.split(':') for line in Path('/proc/self/status').read_text().splitlines())
    kib = {name: int(value.split()[0]) for name, value in pairs if name in ('VmHWM', 'VmRSS')}
    return Memory(kib['VmHWM'] / 2**10, kib['VmRSS'] / 2**10)
