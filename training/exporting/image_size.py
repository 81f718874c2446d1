"""The size of an exported network's image, which need not be the one it was trained at."""

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.contract import MAX_SIDE_PX
from sg_depth_ros.errors import UserError
from training.networks.depth import COARSEST_STRIDE_PX
from training.networks.depth import MIN_SIZE_PX

MAX_STRETCH = 0.03  # of the aspect ratio; more than rounding to multiples of 32 usually costs


def exported_camera(trained: Intrinsics, width: int | None, height: int | None) -> Intrinsics:
    """
    Return the training camera at the size to export: its image resized, like all images.

    :param trained: of the training images.
    :param width: in pixels; ``height`` likewise. One alone keeps the aspect ratio as well as
        multiples of 32 can; neither keeps the size.
    :raises UserError: for a size that the networks cannot take.
    """
    _check('width', width)
    _check('height', height)
    if width is None and height is None:
        return trained
    if width is None:
        assert height is not None
        width = _nearest(trained.width * height / trained.height)
    elif height is None:
        height = _nearest(trained.height * width / trained.width)
    return trained.resized(width, height)


def size_warnings(trained: Intrinsics, camera: Intrinsics, metrics: bool) -> tuple[str, ...]:
    """
    Return what a user should know of a size that was not trained at.

    :param metrics: whether the contract states any.
    """
    if (trained.width, trained.height) == (camera.width, camera.height):
        return ()
    sizes = f'{trained.width}x{trained.height}', f'{camera.width}x{camera.height}'
    stated = 'the metrics that the contract states are' if metrics else 'its accuracy is'
    warnings = [
        f'trained at {sizes[0]}, exported at {sizes[1]}: {stated} of the trained size; judge the '
        'file itself with "evaluate --model"'
    ]
    stretch = (camera.width / trained.width) / (camera.height / trained.height) - 1
    if abs(stretch) > MAX_STRETCH:
        shape = 'wider' if stretch > 0 else 'narrower'
        warnings.append(
            f'images become {100 * abs(stretch):.0f} % {shape} than those it was trained on'
        )
    return tuple(warnings)


def _check(name: str, size_px: int | None) -> None:
    if size_px is None:
        return
    lower = size_px // COARSEST_STRIDE_PX * COARSEST_STRIDE_PX
    if size_px < MIN_SIZE_PX:
        raise UserError(f'--{name} {size_px}: must be at least {MIN_SIZE_PX} pixels')
    if size_px > MAX_SIDE_PX:
        raise UserError(f'--{name} {size_px}: must be at most {MAX_SIDE_PX} pixels')
    if size_px != lower:
        raise UserError(
            f'--{name} {size_px}: must be a multiple of {COARSEST_STRIDE_PX}, such as {lower} or '
            f'{lower + COARSEST_STRIDE_PX}'
        )


def _nearest(size_px: float) -> int:
    return max(MIN_SIZE_PX, round(size_px / COARSEST_STRIDE_PX) * COARSEST_STRIDE_PX)
