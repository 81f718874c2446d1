"""
The node's parameters: one dataclass, which declaring, checking, help and docs are made from.

``parameter_server.py`` declares them and takes changes; ``parameter_docs.py`` writes
docs/parameters.md.
"""

# ruff: noqa: RUF009 (the functions called in defaults return fields)

from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any
from typing import Literal
from typing import NamedTuple
from typing import get_args

from sg_depth_ros.engines.options import Device
from sg_depth_ros.engines.options import EngineKind
from sg_depth_ros.pipeline import Fit

# When a change takes effect: with the next image; when configuring; only at the process's start.
Applies = Literal['at once', 'when configuring', 'at start']


class Documentation(NamedTuple):
    """What is said of a parameter, and what it may be."""

    description: str
    applies: Applies
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None


def _parameter(applies: Applies, default: Any, description: str, **details: Any) -> Any:
    documentation = Documentation(description, applies, **details)
    return field(default=default, metadata={'documentation': documentation})


def _live(default: Any, description: str, **details: Any) -> Any:
    return _parameter('at once', default, description, **details)


def _configured(default: Any, description: str, **details: Any) -> Any:
    return _parameter('when configuring', default, description, **details)


def _fixed(default: Any, description: str, **details: Any) -> Any:
    return _parameter('at start', default, description, **details)


@dataclass(frozen=True)
class NodeParameters:
    """What the node runs with; every field is a ROS parameter of the same name."""

    # What runs.
    model: str = _configured(
        '', 'Path of the model.onnx to run; without one nothing is configured.'
    )
    engine: EngineKind = _configured(
        'auto', 'Library that runs the model.', choices=get_args(EngineKind)
    )
    engine_threads: int = _configured(
        0, 'CPU threads of the engine; 0: one per core.', minimum=0, maximum=256
    )
    engine_device: Device = _configured(
        'auto',
        'Where ONNX Runtime runs the model; auto: with CUDA where that works, else on the CPU.',
        choices=get_args(Device),
    )
    engine_cache: str = _configured(
        '',
        'Folder of the plans that TensorRT builds; empty: $SG_DEPTH_ROS_CACHE, else '
        '$XDG_CACHE_HOME/sg_depth_ros, else ~/.cache/sg_depth_ros.',
    )
    allow_engine_build: bool = _configured(
        True,
        'Build a plan that is not in the cache, which takes minutes. Without it configuring fails '
        'at once and names the command that builds the plan.',
    )
    allow_engine_fallback: bool = _configured(
        True, 'Where an fp16 model fails its self-test, run the fp32 file beside it.'
    )
    engine_workspace_mb: int = _configured(
        0,
        'GPU memory that a layer may use in the plan, in MiB; 0: all there is.',
        minimum=0,
        maximum=1 << 20,
    )
    engine_optimization_level: int = _configured(
        3,
        'How long TensorRT searches for a fast plan: 0 builds fastest, 5 searches longest.',
        minimum=0,
        maximum=5,
    )
    engine_tf32: bool = _configured(
        False, 'Let the GPU multiply float32 with 10 bits of mantissa: faster, less exact.'
    )
    engine_hardware_compatible: bool = _configured(
        False, 'Use a plan for every GPU from Ampere on, slower; not on a Jetson.'
    )
    engine_version_compatible: bool = _configured(
        False, 'Use a plan for later TensorRTs of the same major version too, slower.'
    )
    max_failures_in_a_row: int = _live(
        5,
        'After so many failed frames in a row the engine is released and opened again, with a '
        'growing pause between attempts.',
        minimum=1,
        maximum=1000,
    )
    autostart: bool = _fixed(True, 'Configure and activate at start, without a lifecycle manager.')
    exit_on_failure: bool = _fixed(
        False,
        'Where the automatic start fails, end the process, as scripts want it: exit status 2 for '
        'a mistake of the user, 1 else. Without it the node stays and waits to be configured.',
    )
    build_only: bool = _fixed(
        False,
        'Open the engine, building its plan where missing, test it, and end the process: exit '
        'status 0 where all went well, 2 or 1 where not.',
    )

    # What comes in.
    processing_mode: str = _configured(
        'latest',
        'latest: the newest image, older ones are dropped, for driving. '
        'every: every image in order, none dropped, for evaluation; those that come faster than '
        'the network wait in memory.',
        choices=('latest', 'every'),
    )
    run_without_subscribers: bool = _live(
        True,
        'Run the network while nobody subscribes to an output, so that diagnostics go on. Without '
        'it images are dropped then.',
    )
    image_transport: str = _configured(
        'raw',
        'raw: sensor_msgs/Image on ~/image. '
        'compressed: sensor_msgs/CompressedImage on ~/image/compressed.',
        choices=('raw', 'compressed'),
    )
    input_reliability: str = _configured(
        'auto',
        'Reliability of the input subscriptions; auto: what the publisher offers.',
        choices=('auto', 'reliable', 'best_effort'),
    )
    input_depth: int = _configured(
        0, 'Images queued by ROS; 0: 5 for latest, 1000 for every.', minimum=0, maximum=10000
    )
    camera_info_sync: str = _configured(
        'newest',
        "newest: an image goes with the newest camera_info. exact: with that of the image's own "
        'stamp, for cameras that zoom or change their region of interest; images whose '
        'camera_info does not come are dropped.',
        choices=('newest', 'exact'),
    )
    camera_info_wait_s: float = _live(
        5.0,
        'How long processing_mode every holds images back for the first camera_info, in seconds.',
        minimum=0.0,
        maximum=600.0,
    )
    input_distortion: str = _live(
        'auto',
        'none: the images are rectified and P describes them. camera_info: distorted as K and D '
        'say. auto: none where the topic is named image_rect*, else camera_info.',
        choices=('auto', 'none', 'camera_info'),
    )
    input_fit: Fit = _live(
        'auto',
        'stretch: images are resized to the shape of the network. crop: they are cropped first, '
        'so that they are stretched no more than the training images were. auto: crop where they '
        'would be stretched by more than a tenth.',
        choices=get_args(Fit),
    )

    # Scale.
    focal_correction: bool = _live(
        True,
        'Multiply depth by the ratio of this focal length to that of training. Without it, depth '
        'needs no camera_info but is metric for the training camera only.',
    )
    camera_height: float = _live(
        0.0,
        'Height of the camera above the ground in metres, which gives a model that is not metric '
        'its scale; 0: not known.',
        minimum=0.0,
        maximum=100.0,
    )
    scale_smoothing_s: float = _live(
        2.0,
        'Time constant in seconds over which the scale from camera_height is smoothed.',
        minimum=0.0,
        maximum=60.0,
    )
    allow_unscaled_depth: bool = _live(
        False, 'Publish depth of a model that is not metric, up to an unknown scale.'
    )

    # What goes out.
    output_reliability: str = _configured(
        'reliable',
        'Reliability of the outputs; readers that ask for more than best_effort hear nothing of '
        'best_effort outputs.',
        choices=('reliable', 'best_effort'),
    )
    output_depth: int = _configured(
        0, 'Messages kept per output; 0: 2 for latest, 200 for every.', minimum=0, maximum=10000
    )
    depth_encoding: str = _live(
        '32FC1',
        'Of ~/depth/image. 32FC1: metres, NaN invalid, +Inf too far. 16UC1: millimetres, 0 '
        'invalid or beyond 65.535 m.',
        choices=('32FC1', '16UC1'),
    )
    max_depth_m: float = _live(
        0.0,
        "Depth beyond is published as infinite, in metres; 0: the model's own limit.",
        minimum=0.0,
        maximum=10000.0,
    )
    cloud_stride: int = _live(
        1,
        'The cloud, the mask and the confidence take every n-th row and column of the depth.',
        minimum=1,
        maximum=64,
    )
    cloud_labels: bool = _live(False, 'Give every point of the cloud its class id, "label".')
    cloud_edge_filter: float = _live(
        0.0,
        'Leave out of the cloud what lies between an object and its background: pixels whose '
        "depth differs from a neighbour's by more than this share of it; 0: keep them.",
        minimum=0.0,
        maximum=10.0,
    )
    depth_color_max_m: float = _live(
        50.0,
        'End of the colour scale of ~/depth/color in metres, fixed so that a colour is a depth.',
        minimum=0.1,
        maximum=10000.0,
    )
    snapshot_folder: str = _live(
        '',
        'Where ~/save_snapshot writes; empty: $ROS_HOME/sg_depth_ros, else ~/.ros/sg_depth_ros.',
    )

    # What the diagnostics call too slow.
    max_processing_time_ms: float = _live(
        200.0,
        'A frame that takes longer is out of the expected range, in milliseconds.',
        minimum=0.1,
        maximum=60000.0,
    )
    max_consecutive_delay_ms: float = _live(
        1000.0,
        'How long frames may be out of the expected range, one after the other, before that is '
        'an error, in milliseconds.',
        minimum=0.1,
        maximum=600000.0,
    )
    stall_timeout_s: float = _live(
        5.0,
        'A frame in work for longer is reported as stalled, in seconds.',
        minimum=0.1,
        maximum=600.0,
    )

    @property
    def model_path(self) -> Path:
        """The file of the model; a ~ is the home folder, for no shell replaces it in NAME:=~/x."""
        return Path(self.model).expanduser()

    @property
    def every_frame(self) -> bool:
        """Whether no image may be dropped."""
        return self.processing_mode == 'every'


def documentation_of(name: str) -> Documentation:
    """Return what is said of a parameter."""
    documentation: Documentation = NodeParameters.__dataclass_fields__[name].metadata[
        'documentation'
    ]
    return documentation
