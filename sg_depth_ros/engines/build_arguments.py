"""The options of ``build_engine``, and what they mean for engines."""

import argparse
from pathlib import Path
from typing import get_args

from sg_depth_ros.engines.options import Device
from sg_depth_ros.engines.options import EngineKind
from sg_depth_ros.engines.options import EngineOptions
from sg_depth_ros.engines.options import OnnxRuntimeOptions
from sg_depth_ros.engines.options import TensorRTOptions

DEFAULTS = EngineOptions()


def argument_parser(description: str) -> argparse.ArgumentParser:
    """Return the command line's parser."""
    parser = argparse.ArgumentParser(prog='build_engine', description=description)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument('model', type=Path, help='model.onnx with its contract')
    _add_choices(parser)
    _add_tensorrt_arguments(parser)
    runtime = parser.add_argument_group('ONNX Runtime')
    runtime.add_argument(
        '--device',
        choices=get_args(Device),
        default='auto',
        help='where ONNX Runtime runs; auto: with CUDA where that works, else on the CPU '
        '(default: %(default)s)',
    )
    runtime.add_argument(
        '--threads',
        type=_positive_int,
        metavar='N',
        help='of the CPU, for ONNX Runtime (default: one per core)',
    )
    return parser


def _add_choices(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--engine',
        choices=get_args(EngineKind),
        default='auto',
        help='auto: TensorRT where it works, else ONNX Runtime (default: %(default)s)',
    )
    parser.add_argument(
        '--all-precisions',
        action='store_true',
        help='also the files of the same network beside MODEL, such as model.fp16.onnx, and on a '
        'GPU the fp32 file with TF32: all compared in one table',
    )
    parser.add_argument(
        '--tf32',
        action='store_true',
        help='on a GPU, multiply float32 with 10 bits of mantissa: faster, less exact',
    )
    parser.add_argument(
        '--no-fallback',
        action='store_true',
        help='do not take the fp32 file beside MODEL where MODEL fails',
    )
    parser.add_argument(
        '--runs',
        type=_positive_int,
        default=200,
        metavar='N',
        help='runs that are timed, with copies and without (default: %(default)s)',
    )
    parser.add_argument(
        '--json', action='store_true', help='print one JSON document on stdout and no table'
    )
    parser.add_argument(
        '--verbose', action='store_true', help='print what the libraries log, to stderr'
    )


def _add_tensorrt_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('TensorRT')
    group.add_argument(
        '--cache',
        type=Path,
        metavar='FOLDER',
        help='where plans are kept (default: $SG_DEPTH_ROS_CACHE, else '
        '$XDG_CACHE_HOME/sg_depth_ros, else ~/.cache/sg_depth_ros)',
    )
    group.add_argument(
        '--rebuild', action='store_true', help='build also where the cache has the plan'
    )
    group.add_argument(
        '--optimization-level',
        type=int,
        choices=range(6),
        default=DEFAULTS.tensorrt.optimization_level,
        help='0 builds fastest, 5 searches longest (default: %(default)s)',
    )
    group.add_argument(
        '--workspace-mb',
        type=_positive_int,
        metavar='N',
        help='GPU memory that a layer may use (default: all there is)',
    )
    group.add_argument(
        '--no-timing-cache',
        action='store_true',
        help='measure every layer anew, also those that an earlier build has measured',
    )
    group.add_argument(
        '--hardware-compatible',
        action='store_true',
        help='a plan for every GPU from Ampere on; slower, and not for Jetson',
    )
    group.add_argument(
        '--version-compatible',
        action='store_true',
        help='a plan for later TensorRTs of the same major version too',
    )
    group.add_argument(
        '--no-cuda-graph',
        action='store_true',
        help='start every kernel anew for each image; the plan is the same',
    )


def engine_options(arguments: argparse.Namespace) -> EngineOptions:
    """Return what the command line says about engines."""
    return EngineOptions(
        onnxruntime=OnnxRuntimeOptions(
            threads=arguments.threads, device=arguments.device, tf32=arguments.tf32
        ),
        tensorrt=TensorRTOptions(
            cache_folder=arguments.cache,
            rebuild=arguments.rebuild,
            optimization_level=arguments.optimization_level,
            workspace_mb=arguments.workspace_mb,
            tf32=arguments.tf32,
            timing_cache=not arguments.no_timing_cache,
            hardware_compatible=arguments.hardware_compatible,
            version_compatible=arguments.version_compatible,
            cuda_graph=not arguments.no_cuda_graph,
        ),
        # Comparing precisions, each file stands for itself.
        allow_fallback=not (arguments.no_fallback or arguments.all_precisions),
    )


def node_parameters(options: EngineOptions) -> tuple[str, ...]:
    """
    Return the parameters, NAME:=VALUE, with which the node finds the same plan.

    What it finds without any parameter is left out.
    """
    chosen, defaults = options.tensorrt, DEFAULTS.tensorrt
    folder = chosen.cache_folder
    values = {
        'engine_cache': (folder and folder.absolute(), defaults.cache_folder),
        'engine_optimization_level': (chosen.optimization_level, defaults.optimization_level),
        'engine_workspace_mb': (chosen.workspace_mb, defaults.workspace_mb),
        'engine_tf32': (chosen.tf32, defaults.tf32),
        'engine_hardware_compatible': (chosen.hardware_compatible, defaults.hardware_compatible),
        'engine_version_compatible': (chosen.version_compatible, defaults.version_compatible),
    }
    return tuple(
        f'{name}:={str(value).lower() if isinstance(value, bool) else value}'
        for name, (value, default) in values.items()
        if value != default
    )


def _positive_int(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f'{text} is not positive')
    return value
