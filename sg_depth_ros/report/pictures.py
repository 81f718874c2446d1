"""
Pictures of depth for people: a colour always means the same number of metres.

Everything takes and returns RGB uint8 (H, W, 3); numpy and OpenCV only.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.camera import resize_image
from sg_depth_ros.classes import colorize_labels

NEAR_M = 2.0  # the first colour; what is nearer is drawn like it
FAR_M = 80.0
WORST_RELATIVE_ERROR = 0.5  # the last colours of error pictures
MARK_COLOR = (255, 0, 60)

_INVALID_COLOR = (64, 64, 64)
_INFINITE_COLOR = (168, 184, 204)  # a pale sky, outside the map's colours
_BACKGROUND = (16, 20, 26)
_TOO_NEAR_COLOR, _RIGHT_COLOR, _TOO_FAR_COLOR = (44, 110, 255), (245, 245, 245), (240, 40, 30)
_TITLE_HEIGHT = 24
_GRID_COLOR = (52, 61, 73)
_MEASURED_COLOR = (0, 225, 255)
_TEXT_COLOR = (206, 214, 224)
# Asphalt in shadow must still be told from the dark background.
_BRIGHTER = np.rint(255 * np.linspace(0, 1, 256) ** 0.65).astype(np.uint8)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


class View(NamedTuple):
    """What a picture from above shows, in metres of the optical frame."""

    ahead_m: float = 50.0
    half_width_m: float = 20.0
    pixels_per_m: float = 10.0
    highest_m: float = 3.5  # above the camera: points higher up hide what lies below

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height of the picture."""
        width = round(2 * self.half_width_m * self.pixels_per_m)
        return width, round(self.ahead_m * self.pixels_per_m)


STREET = View()


def depth_picture(depth_m: NDArray[np.floating], max_m: float = FAR_M) -> NDArray[np.uint8]:
    """
    Colour depth on a fixed logarithmic range: bright and warm is near, dark and blue is far.

    :param depth_m: (H, W) metres; +Inf is drawn pale blue, NaN and what is not positive gray.
    :param max_m: the last colour; farther finite depth is drawn like it.
    """
    infinite = np.isposinf(depth_m)
    with np.errstate(invalid='ignore'):
        valid = (depth_m > 0) & ~infinite
    clipped = np.clip(np.where(valid, depth_m, NEAR_M), NEAR_M, max_m)
    nearness = 1.0 - np.log(clipped / NEAR_M) / np.log(max_m / NEAR_M)
    picture = colored(nearness, cv2.COLORMAP_TURBO)
    picture[~valid] = _INVALID_COLOR
    picture[infinite] = _INFINITE_COLOR
    return picture


def depth_legend(width: int, max_m: float = FAR_M, height: int = 34) -> NDArray[np.uint8]:
    """Draw the scale of ``depth_picture``: a bar (height, width, 3) with metres below."""
    share = np.linspace(0.0, 1.0, width)
    bar_m = NEAR_M * (max_m / NEAR_M) ** share
    legend = np.full((height, width, 3), _BACKGROUND, np.uint8)
    bar_height = height - 22
    legend[:bar_height] = depth_picture(bar_m[None, :], max_m)
    for tick_m in (2, 5, 10, 20, 40, 80):
        if NEAR_M <= tick_m <= max_m:
            x = int(np.log(tick_m / NEAR_M) / np.log(max_m / NEAR_M) * (width - 1))
            legend[bar_height : bar_height + 4, x] = _TEXT_COLOR
            _write(legend, f'{tick_m} m', (x, height - 4), align=x / (width - 1))
    return legend


def error_picture(
    predicted_m: NDArray[np.floating],
    truth_m: NDArray[np.floating],
    image: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """
    Mark every measured pixel with its relative error: blue too near, white right, red too far.

    The range is fixed to half the distance either way.

    :param predicted_m: (H, W) metres; not finite counts as too far.
    :param truth_m: (H, W) metres, 0 where nothing was measured.
    :param image: RGB (H, W, 3), drawn darkened below the dots.
    """
    picture = np.full((*truth_m.shape, 3), _BACKGROUND, np.uint8)
    if image is not None:
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        picture = np.repeat((gray * 0.4).astype(np.uint8)[..., None], 3, axis=2)
    rows, columns = np.nonzero(truth_m > 0)
    truth = truth_m[rows, columns]
    predicted = np.nan_to_num(predicted_m[rows, columns], nan=np.inf, posinf=1e9)
    error = np.clip((predicted - truth) / truth / WORST_RELATIVE_ERROR, -1.0, 1.0)
    colors = _diverging(error)
    # One LiDAR return is a dot that can be seen: a pixel is not, at 1242 wide.
    radius = max(picture.shape[1] // 640, 0)
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            y = np.clip(rows + dy, 0, picture.shape[0] - 1)
            x = np.clip(columns + dx, 0, picture.shape[1] - 1)
            picture[y, x] = colors
    return picture


def cloud_from_above(
    points: NDArray[np.floating],
    colors: NDArray[np.uint8],
    view: View = STREET,
    camera: Intrinsics | None = None,
    measured: NDArray[np.floating] | None = None,
) -> NDArray[np.uint8]:
    """
    Draw points from above, the camera at the bottom looking up, over a grid of metres.

    :param points: (N, 3) in the optical frame, metres; not finite ones are left out.
    :param colors: (N, 3) RGB.
    :param camera: where given, its field of view is drawn.
    :param measured: (M, 3) points to compare with, drawn over the others in one colour.
    """
    picture = np.full((*view.size_px[::-1], 3), _BACKGROUND, np.uint8)
    _draw_grid(picture, view)
    _draw_points(picture, points, _BRIGHTER[colors], view)
    if measured is not None:
        one_color = np.full((len(measured), 3), _MEASURED_COLOR, np.uint8)
        _draw_points(picture, measured, one_color, view)
    _draw_camera(picture, view, camera)
    _label_grid(picture, view)
    return picture


def picture_strip(
    image: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    depth_m: NDArray[np.floating],
    camera: Intrinsics,
    *,
    max_m: float = FAR_M,
    widest_px: int = 620,
    highest_px: int = 250,
) -> NDArray[np.uint8]:
    """
    Put image, labels, depth and the cloud from above into one picture, each with its name.

    :param image: RGB, of any size.
    :param labels: (h, w) class ids, of the depth's size.
    :param depth_m: (h, w) metres, of the camera's size.
    :param camera: of the depth image.
    :param widest_px: size that one of the three panels on the left may take; ``highest_px`` too.
    """
    small = resize_image(image, camera.width, camera.height)
    # The cloud is as high as three panels, so high panels would leave them small beside it.
    scale = min(widest_px / camera.width, highest_px / camera.height)
    panel_width, panel_height = round(camera.width * scale), round(camera.height * scale)
    pictures = (
        ('image', resize_image(image, panel_width, panel_height)),
        ('labels', enlarged(label_overlay(small, labels), panel_width, panel_height)),
        ('depth', enlarged(depth_picture(depth_m, max_m), panel_width, panel_height)),
    )
    panels = [titled(picture, name) for name, picture in pictures]
    left = np.vstack([*panels, depth_legend(panel_width, max_m)])
    # The cloud takes the height of the three panels and shows the same metres each way.
    height = left.shape[0] - _TITLE_HEIGHT
    above = STREET._replace(pixels_per_m=height / STREET.ahead_m)
    points = (camera.rays() * depth_m[..., None]).reshape(-1, 3)
    cloud = cloud_from_above(points, small.reshape(-1, 3), above, camera)
    right = titled(cloud, 'cloud from above (grid 10 m)')
    gap = np.full((left.shape[0], 8, 3), _BACKGROUND, np.uint8)
    return np.hstack([left, gap, right])


def titled(picture: NDArray[np.uint8], title: str) -> NDArray[np.uint8]:
    """Put a line of text above a picture."""
    bar = np.full((_TITLE_HEIGHT, picture.shape[1], 3), _BACKGROUND, np.uint8)
    _write(bar, title, (6, _TITLE_HEIGHT - 8))
    return np.vstack([bar, picture])


def enlarged(picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Enlarge to the nearest pixel: colours between two classes would mean a third."""
    resized = cv2.resize(picture, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(resized, np.uint8)


def label_overlay(image: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Colour an image (H, W, 3) by class ids (H, W), its shapes still visible."""
    gray = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    blend = cv2.addWeighted(gray, 0.3, colorize_labels(labels), 0.7, 0.0)
    return np.asarray(blend, np.uint8)


def marked_picture(image: NDArray[np.uint8], marks: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Paint pixels (H, W) of an image red, with an outline that shows even a single one."""
    picture: NDArray[np.uint8] = image.copy()
    ring = cv2.dilate(marks.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    picture[ring & ~marks] = 255
    picture[marks] = MARK_COLOR
    return picture


def colored(share: NDArray[np.floating], colormap: int) -> NDArray[np.uint8]:
    """Colour shares (H, W) in 0..1 by one of OpenCV's maps."""
    index = np.rint(np.clip(share, 0.0, 1.0) * 255).astype(np.uint8)
    picture = cv2.cvtColor(cv2.applyColorMap(index, colormap), cv2.COLOR_BGR2RGB)
    return np.asarray(picture, np.uint8)


def _diverging(value: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Colour -1 to 1, (N,), from blue over white to red, (N, 3)."""
    near, middle, far = (
        np.array(c, np.float64) for c in (_TOO_NEAR_COLOR, _RIGHT_COLOR, _TOO_FAR_COLOR)
    )
    share = np.abs(value)[:, None]
    end = np.where(value[:, None] < 0, near, far)
    return np.asarray(np.rint(middle + (end - middle) * share), np.uint8)


def _draw_points(
    picture: NDArray[np.uint8],
    points: NDArray[np.floating],
    colors: NDArray[np.uint8],
    view: View,
) -> None:
    """Draw points (N, 3) from above, the highest last, as an eye there would see them."""
    with np.errstate(invalid='ignore'):
        shown = np.isfinite(points).all(axis=1) & (points[:, 1] > -view.highest_m)
    x, y, z = points[shown].astype(np.float64).T
    u = np.floor((x + view.half_width_m) * view.pixels_per_m)
    v = np.floor((view.ahead_m - z) * view.pixels_per_m)
    inside = (u >= 0) & (u < picture.shape[1] - 1) & (v >= 0) & (v < picture.shape[0] - 1)
    order = np.argsort(-y[inside], kind='stable')  # y points down
    columns, rows = u[inside][order].astype(np.int64), v[inside][order].astype(np.int64)
    shown_colors = colors[shown][inside][order]
    for dy in (0, 1):
        for dx in (0, 1):
            picture[rows + dy, columns + dx] = shown_colors


def _draw_grid(picture: NDArray[np.uint8], view: View) -> None:
    height = picture.shape[0]
    for ahead_m in np.arange(0, view.ahead_m, 10):
        row = int((view.ahead_m - ahead_m) * view.pixels_per_m)
        picture[min(row, height - 1)] = _GRID_COLOR
    side_m = np.arange(0, view.half_width_m, 10)
    for across_m in (*side_m, *-side_m):
        picture[:, int((across_m + view.half_width_m) * view.pixels_per_m)] = _GRID_COLOR


def _label_grid(picture: NDArray[np.uint8], view: View) -> None:
    for ahead_m in range(10, int(view.ahead_m), 10):
        row = int((view.ahead_m - ahead_m) * view.pixels_per_m)
        _write(picture, f'{ahead_m} m', (4, row - 4))


def _draw_camera(picture: NDArray[np.uint8], view: View, camera: Intrinsics | None) -> None:
    height = picture.shape[0]
    origin = (round(view.half_width_m * view.pixels_per_m), height - 1)
    if camera is not None:
        for column in (-0.5, camera.width - 0.5):
            slope = (column - camera.cx) / camera.fx
            end = (round(origin[0] + slope * height), 0)
            cv2.line(picture, origin, end, (96, 110, 128), 1, cv2.LINE_AA)
    cv2.circle(picture, origin, 6, _TEXT_COLOR, -1, cv2.LINE_AA)


def _write(
    picture: NDArray[np.uint8], text: str, corner: tuple[int, int], align: float = 0.0
) -> None:
    """Write at the lower left corner, moved left by ``align`` of the text's width."""
    (width, _), _ = cv2.getTextSize(text, _FONT, 0.42, 1)
    place = (corner[0] - int(align * width), corner[1])
    cv2.putText(picture, text, place, _FONT, 0.42, _BACKGROUND, 3, cv2.LINE_AA)
    cv2.putText(picture, text, place, _FONT, 0.42, _TEXT_COLOR, 1, cv2.LINE_AA)
