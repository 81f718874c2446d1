"""
The epipolar check of the intrinsics: which focal length and principal point explain the tracks.

One property of the camera is varied at a time, motion and depth of every window are fitted again,
and the curve of what remains is read: its lowest point, how far around it the tracks cannot tell,
and how much worse the camera of the dataset is. A drive straight ahead gives a flat curve; then
nothing is claimed.
"""

import math
from dataclasses import dataclass
from typing import Literal
from typing import NamedTuple
from typing import TypeAlias

import numpy as np

from sg_depth_ros.camera import Intrinsics
from training.checking.features import Tracks
from training.checking.features import track_window
from training.checking.sampling import REFERENCE_WIDTH_PX
from training.checking.sampling import Sample
from training.checking.two_view import Array
from training.checking.two_view import Camera
from training.checking.two_view import rotation_vector
from training.checking.window import WindowBatch
from training.checking.window import WindowFit
from training.checking.window import fit_windows
from training.checking.window import select
from training.checking.window import start_windows

Quantity: TypeAlias = Literal['focal length', 'fx alone', 'cx']

MOST_WINDOWS = 12
VIEWS = 3
LONGEST_WINDOW = 24  # frames
MOST_FLOW = 0.12  # of the width: a window ends where points have moved so far
LEAST_FLOW = 0.025  # windows in which less moves show too little
LEAST_POINTS = 50
MOST_POINTS = 100  # of a window
MOST_COST_PER_POINT = 1.0  # beyond it other traffic, not the camera's motion, moves the points
LEAST_WINDOWS = 4

FACTORS = (0.33, 0.4, 0.5, 0.6, 0.7, 0.83, 1.0, 1.2, 1.45, 1.7, 2.0, 2.5, 3.0)
FX_FACTORS = (0.5, 0.6, 0.72, 0.85, 1.0, 1.18, 1.4, 1.7, 2.0)
CX_SHARES = (-0.2, -0.15, -0.1, -0.05, 0.0, 0.05, 0.1, 0.15, 0.2)  # of the width
QUANTITIES: dict[Quantity, tuple[float, ...]] = {
    'focal length': FACTORS,
    'fx alone': FX_FACTORS,
    'cx': CX_SHARES,
}
UNEQUAL = 0.1  # ln(fx / fy) of pixels that can hardly be square

# A curve's rise is the logarithm of a likelihood ratio of points that are not independent: the
# same corner is seen from several windows. Good real drives stay below 2.5 at the true camera.
CERTAIN_RISE = 8.0
INTERVAL_RISE = 4.0
AGREEING_WINDOWS = 0.6  # of the windows, by weight
# A lens that is not quite rectified moves the curves a little: ln factor, or share of the width.
LEAST_DEPARTURE: dict[Quantity, float] = {'focal length': 0.13, 'fx alone': 0.15, 'cx': 0.035}


class Curve(NamedTuple):
    """How badly the tracks fit over one property of the camera."""

    quantity: Quantity
    values: tuple[float, ...]  # factors, or shares of the width
    rise: Array  # [len(values)], over the lowest
    best: float  # between the values, by a parabola
    low: float  # the interval that the tracks leave open
    high: float
    open_below: bool  # the interval reaches the end of what was tried
    open_above: bool
    given_rise: float  # of the dataset's camera
    agreement: float  # how many windows, by weight, prefer the best to the given value

    @property
    def refutes_given(self) -> bool:
        """Return whether the tracks exclude the camera of the dataset."""
        if self.rise[0] == 0 or self.rise[-1] == 0:  # still falling at the end: no minimum
            return False
        apart = abs(self.best) if self.quantity == 'cx' else abs(math.log(self.best))
        likely = self.given_rise > CERTAIN_RISE and self.agreement > AGREEING_WINDOWS
        return likely and apart > LEAST_DEPARTURE[self.quantity]


@dataclass(frozen=True, eq=False)
class Calibration:
    """What the tracks of a drive say of its camera."""

    windows: tuple[Tracks, ...]
    turn_deg: float  # root mean square of the windows' turn, without roll
    cost_per_point: float  # of the best camera
    curves: tuple[Curve, ...]  # empty where nothing can be said
    refuted: tuple[Quantity, ...] = ()  # the heaviest first
    fitted: Camera | None = None  # the dataset's camera with what was refuted put right
    reason: str = ''  # why there are no curves

    def curve(self, quantity: Quantity) -> Curve | None:
        """Return the curve of one property."""
        return next((c for c in self.curves if c.quantity == quantity), None)


def calibrate(sample: Sample, intrinsics: Intrinsics) -> Calibration:
    """
    Test the focal length (fx and fy together), fx against fy, and cx.

    One that is refuted is put right before the others are tested again: each bends the curves of
    the others.
    """
    windows = _windows(sample, intrinsics.width)
    if len(windows) < LEAST_WINDOWS:
        return Calibration(windows, 0.0, math.nan, (), reason='too little moves in the images')
    batch = _batch(windows)
    noise_px = 0.05 + 0.3 * intrinsics.width / REFERENCE_WIDTH_PX
    camera = Camera.of(intrinsics)
    unequal = abs(math.log(intrinsics.fx / intrinsics.fy)) > UNEQUAL
    curves: dict[Quantity, Curve] = {}
    refuted: list[Quantity] = []
    while True:
        start = start_windows(camera, batch, noise_px)
        scan = _Scan(batch, fit_windows(camera, batch, start, noise_px, 15), noise_px)
        for quantity, values in QUANTITIES.items():
            if quantity not in refuted:
                curves[quantity] = _scanned(scan, camera, quantity, values, intrinsics.width)
        new = [q for q in curves if q not in refuted and curves[q].refutes_given]
        if not new:
            break
        # Where fx and fy differ so much, one of them is the likelier mistake.
        preferred = [q for q in new if unequal and q == 'fx alone']
        worst = preferred[0] if preferred else max(new, key=lambda q: curves[q].given_rise)
        refuted.append(worst)
        camera = changed_camera(camera, worst, curves[worst].best, intrinsics.width)
    turn_deg = _turn_deg(scan.start)
    per_point = float(scan.start.cost.sum() / (batch.mask.sum() * VIEWS))
    if per_point > MOST_COST_PER_POINT:
        reason = 'other traffic fills the view, or the images are too blurred to follow points'
        return Calibration(windows, turn_deg, per_point, (), reason=reason)
    return Calibration(
        windows, turn_deg, per_point, tuple(curves.values()), tuple(refuted), camera
    )


def changed_camera(camera: Camera, quantity: Quantity, value: float, width: int) -> Camera:
    """Return the camera with one property changed: by a factor, or by a share of the width."""
    if quantity == 'focal length':
        return camera._replace(fx=camera.fx * value, fy=camera.fy * value)
    if quantity == 'fx alone':
        return camera._replace(fx=camera.fx * value)
    return camera._replace(cx=camera.cx + value * width)


class _Scan(NamedTuple):
    """What every point of a curve needs."""

    windows: WindowBatch
    start: WindowFit
    noise_px: float


def _scanned(
    scan: _Scan, camera: Camera, quantity: Quantity, values: tuple[float, ...], width: int
) -> Curve:
    """
    Fit the windows at every value, each from its neighbour's solution.

    Going up, down and up again, because a window may have two solutions (a turn and a sideways
    step look alike): the better one is then carried to every value.
    """
    middle, count = _given(values), len(values)
    costs = np.full((count, len(scan.windows.mask)), np.inf)
    fits = [scan.start] * count
    fit = scan.start
    for order in (range(middle, count), range(count - 2, -1, -1), range(1, count)):
        for number in order:
            tried = changed_camera(camera, quantity, values[number], width)
            found = fit_windows(tried, scan.windows, fit, scan.noise_px, 8)
            better = found.cost < costs[number]
            fits[number] = select(better, found, fits[number])
            costs[number] = np.where(better, found.cost, costs[number])
            fit = fits[number]
    return _curve(quantity, values, costs)


def _given(values: tuple[float, ...]) -> int:
    """Return which value stands for the dataset's camera: a factor of 1 or a shift of 0."""
    return values.index(1.0 if 1.0 in values else 0.0)


def _windows(sample: Sample, width: int) -> tuple[Tracks, ...]:
    """Track points through windows spread over the drive, where enough moves."""
    places = [(run, offset) for run in sample.runs for offset in range(len(run.grays) - VIEWS)]
    if not places:
        return ()
    chosen = np.unique(np.linspace(0, len(places) - 1, MOST_WINDOWS).astype(int))
    windows = []
    for run, offset in (places[i] for i in chosen):
        tracks = track_window(
            run.grays,
            offset,
            views=VIEWS,
            longest=LONGEST_WINDOW,
            most_flow_px=MOST_FLOW * width,
            least_points=LEAST_POINTS,
        )
        if tracks is None:
            continue
        moved_px = np.linalg.norm(tracks.points[-1] - tracks.points[0], axis=1)
        if np.median(moved_px) >= LEAST_FLOW * width:
            frames = tuple(run.first + f for f in tracks.frames)
            windows.append(tracks._replace(frames=frames))
    return tuple(windows)


def _batch(windows: tuple[Tracks, ...]) -> WindowBatch:
    most = min(MOST_POINTS, max(w.points.shape[1] for w in windows))
    points = np.zeros((len(windows), VIEWS + 1, most, 2))
    mask = np.zeros((len(windows), most))
    for number, window in enumerate(windows):
        count = min(most, window.points.shape[1])
        kept = np.linspace(0, window.points.shape[1] - 1, count).astype(int)
        points[number, :, :count] = window.points[:, kept]
        mask[number, :count] = 1.0
    return WindowBatch(points[:, 0], points[:, 1:], mask)


def _turn_deg(fit: WindowFit) -> float:
    turns = np.degrees(rotation_vector(fit.rotation[:, -1]))[:, :2]
    return float(np.sqrt((turns**2).sum(1).mean()))


def _curve(quantity: Quantity, values: tuple[float, ...], costs: Array) -> Curve:
    """Read a curve from costs (len(values), W)."""
    total = costs.sum(1)
    lowest, given = int(np.argmin(total)), _given(values)
    rise = total - total[lowest]
    x = np.array(values) if quantity == 'cx' else np.log(values)
    ends = [_interval_end(x, rise, lowest, step) for step in (-1, 1)]
    best = _parabola_minimum(x, rise, lowest)
    low, high = (min(ends[0], best), max(ends[1], best))
    if quantity != 'cx':
        best, low, high = math.exp(best), math.exp(low), math.exp(high)
    gained = costs[given] - costs[lowest]
    weight = float(np.abs(gained).sum())
    return Curve(
        quantity=quantity,
        values=values,
        rise=rise,
        best=best,
        low=low,
        high=high,
        open_below=bool(rise[: lowest + 1].max() < INTERVAL_RISE),
        open_above=bool(rise[lowest:].max() < INTERVAL_RISE),
        given_rise=float(rise[given]),
        agreement=float(gained[gained > 0].sum()) / weight if weight > 0 else 0.0,
    )


def _interval_end(x: Array, rise: Array, lowest: int, step: int) -> float:
    """Return where the curve crosses the interval's rise, or its end."""
    at = lowest
    while 0 <= at + step < len(x):
        if rise[at + step] >= INTERVAL_RISE:
            share = (INTERVAL_RISE - rise[at]) / (rise[at + step] - rise[at])
            return float(x[at] + share * (x[at + step] - x[at]))
        at += step
    return float(x[at])


def _parabola_minimum(x: Array, y: Array, lowest: int) -> float:
    if lowest in (0, len(x) - 1):
        return float(x[lowest])
    around = slice(lowest - 1, lowest + 2)
    a, b, _ = np.polyfit(x[around] - x[lowest], y[around], 2)
    return float(x[lowest] - b / (2 * a)) if a > 0 else float(x[lowest])
