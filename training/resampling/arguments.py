"""The options of ``resample``."""

import argparse
import math
from pathlib import Path
from typing import NamedTuple

from sg_depth_ros.errors import UserError
from sg_depth_ros.ground import BelowGround
from sg_depth_ros.infinite_depth import DEFAULT_CRITERION
from sg_depth_ros.infinite_depth import HoleCriterion

DEFAULT_CAP = 0.25


class Options(NamedTuple):
    """What the command line asks for."""

    model: Path
    dataset: Path
    split: Path  # to write
    candidates: Path | None  # the split to choose among
    criterion: HoleCriterion
    cap: float


def parse_arguments(arguments: list[str]) -> Options:
    """
    Read the command line.

    :raises UserError: where options contradict each other.
    """
    parser = argparse.ArgumentParser(
        prog='python -m training resample',
        description='Drop the frames in which a trained network sees infinite depth: more than a '
        'few pixels clearly below the ground plane, or on vehicles that depth does not show where '
        'they stand. Writes the split of the frames that stay, and beside it resample.json (a '
        'decision and its reason per frame), resample.html (the page to look at) and resample.png '
        '(frames that were dropped). The same command goes on where it was interrupted.',
        epilog="The paper's plain form: --all-pixels --all-classes --below-only --angle 0.",
        allow_abbrev=False,
    )
    _add_files(parser)
    _add_criterion(parser)
    _add_plane(parser)
    options = parser.parse_args(arguments)
    if options.near >= options.far:
        raise UserError(f'--near {options.near:g} is not less than --far {options.far:g}')
    criterion = HoleCriterion(
        threshold_px=options.threshold,
        limits=BelowGround(options.margin, options.angle),
        fit_range_m=(options.near, options.far),
        plane_from=options.plane_from,
        counted=options.counted,
        missing_vehicles=options.missing_vehicles,
        seed=options.seed,
    )
    return Options(
        options.checkpoint, options.data, options.out, options.split, criterion, options.cap
    )


def _add_files(parser: argparse.ArgumentParser) -> None:
    required = parser.add_argument_group('required')
    for name, metavar, help_text in (
        ('--checkpoint', 'MODEL', 'checkpoint of stage one, or model.onnx'),
        ('--data', 'DATASET', 'dataset folder'),
        ('--out', 'SPLIT', 'split file to write'),
    ):
        required.add_argument(name, type=Path, required=True, metavar=metavar, help=help_text)
    parser.add_argument(
        '--split',
        type=Path,
        help='choose among the frames of this split only: the one that stage one was trained on',
    )


def _add_criterion(parser: argparse.ArgumentParser) -> None:
    default = DEFAULT_CRITERION
    group = parser.add_argument_group('when a frame is dropped')
    group.add_argument(
        '--threshold',
        type=_not_negative,
        default=default.threshold_px,
        metavar='PIXELS',
        help="pixels of infinite depth that a frame may have, %(default)g (the authors' number) "
        'up to 640x192; grows with the area of larger pictures',
    )
    group.add_argument(
        '--margin',
        type=_not_negative,
        default=default.limits.margin,
        help='how far below the plane is clearly below, in camera heights (%(default)g)',
    )
    group.add_argument(
        '--angle',
        type=_angle,
        default=default.limits.angle_deg,
        metavar='DEGREES',
        help='tolerated tilt of the plane: the margin grows by depth x tan(angle) (%(default)g; '
        '0 turns it off)',
    )
    group.add_argument(
        '--cap',
        type=_share,
        default=DEFAULT_CAP,
        help='largest share of frames to drop, the worst first (%(default)g)',
    )
    counted = group.add_mutually_exclusive_group()
    counted.add_argument(
        '--movable-only',
        dest='counted',
        action='store_const',
        const='movable',
        default=default.counted,
        help='count only pixels of classes that can move (given labels, else predicted); the '
        'default where a frame has labels',
    )
    counted.add_argument(
        '--all-classes',
        dest='counted',
        action='store_const',
        const='all',
        help='count pixels of all classes; the default where a frame has no labels',
    )
    group.add_argument(
        '--below-only',
        dest='missing_vehicles',
        action='store_false',
        help='count pixels below the ground only, not vehicles that depth does not show where '
        'they stand (which takes a plane fitted to road pixels in any case)',
    )


def _add_plane(parser: argparse.ArgumentParser) -> None:
    default = DEFAULT_CRITERION
    group = parser.add_argument_group('the ground plane')
    source = group.add_mutually_exclusive_group()
    source.add_argument(
        '--road-only',
        dest='plane_from',
        action='store_const',
        const='road',
        default=default.plane_from,
        help='fit it to road pixels only; the default where labels show a road',
    )
    source.add_argument(
        '--all-pixels',
        dest='plane_from',
        action='store_const',
        const='all',
        help='fit it to all pixels; the default where labels show no road',
    )
    limits = 'depth to fit to, metres; without metric scale the same range in camera heights'
    near, far = default.fit_range_m
    for name, value, what in (('--near', near, 'least'), ('--far', far, 'greatest')):
        group.add_argument(
            name,
            type=_not_negative,
            default=value,
            metavar='METRES',
            help=f'{what} {limits} (%(default)g)',
        )
    group.add_argument(
        '--seed', type=_seed, default=default.seed, help='of the random hypotheses (%(default)d)'
    )


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f'{text!r} is no number') from None
    if math.isnan(value):
        raise argparse.ArgumentTypeError('nan is no number')
    return value


def _share(text: str) -> float:
    value = _number(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f'{text} is no share between 0 and 1')
    return value


def _not_negative(text: str) -> float:
    value = _number(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f'{text} must be finite and not negative')
    return value


def _angle(text: str) -> float:
    value = _number(text)
    if not 0 <= value < 90:
        raise argparse.ArgumentTypeError(f'{text} is no angle from 0 to below 90 degrees')
    return value


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f'{text!r} is no whole number from 0 on')
    return int(text)
