"""Small videos, folders of images, camera files and lenses, for tests of sources."""

from pathlib import Path

import cv2
import numpy as np

from sg_depth_ros.camera import Intrinsics

CAMERA = Intrinsics(70.0, 72.0, 63.0, 30.5, 128, 64)
PINHOLE = Intrinsics(60.0, 60.0, 62.0, 31.0, 128, 64)
LENSES = (
    ('plumb_bob', (-0.3, 0.1, 0.001, -0.002, 0.0)),
    ('rational_polynomial', (0.1, 0.02, 0.001, 0.002, 0.0, 0.4, 0.0, 0.0)),
    ('equidistant', (0.02, -0.01, 0.0, 0.0)),
)
START_NS = 1_700_000_000 * 10**9
STEP_NS = 100_000_000
SPOTS = ((30, 20), (100, 45), (90, 12), (64, 32))


def picture(number, width=CAMERA.width, height=CAMERA.height):
    small = np.random.default_rng(number).integers(0, 256, (4, 8, 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def write_video(path: Path, images, rate_hz=10.0, codec='MJPG') -> Path:
    height, width = images[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), rate_hz, (width, height))
    assert writer.isOpened()
    for image in images:
        writer.write(np.ascontiguousarray(image[..., ::-1]))
    writer.release()
    return path


def write_timed_video(path: Path, images, times_ms) -> Path:
    """Write frames at given times, which VideoWriter takes of encoded frames only."""
    height, width = images[0].shape[:2]
    raw = [cv2.VIDEOWRITER_PROP_RAW_VIDEO, 1]
    codec = cv2.VideoWriter.fourcc(*'MJPG')
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, codec, 1000.0, (width, height), raw)
    assert writer.isOpened()
    for image, time_ms in zip(images, times_ms):
        writer.set(cv2.VIDEOWRITER_PROP_PTS, time_ms)
        writer.set(cv2.VIDEOWRITER_PROP_KEY_FLAG, 1)
        writer.write(cv2.imencode('.jpg', image[..., ::-1])[1])
    writer.release()
    return path


def write_images(folder: Path, images, names) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for image, name in zip(images, names):
        assert cv2.imwrite(str(folder / name), image[..., ::-1])
    return folder


def write_camera(path: Path, camera=CAMERA, model='plumb_bob', d=(0.0,) * 5, p=None) -> Path:
    """Write a camera_info as camera_calibration lays it out."""

    def matrix(name, values, rows):
        data = ', '.join(repr(float(v)) for v in np.ravel(values))
        return f'{name}:\n  rows: {rows}\n  cols: {np.size(values) // rows}\n  data: [{data}]\n'

    projection = np.hstack([(p or camera).matrix(), np.zeros((3, 1))])
    path.write_text(
        f'image_width: {camera.width}\nimage_height: {camera.height}\ncamera_name: front\n'
        + matrix('camera_matrix', camera.matrix(), 3)
        + f'distortion_model: {model}\n'
        + matrix('distortion_coefficients', d, 1)
        + matrix('rectification_matrix', np.eye(3), 3)
        + matrix('projection_matrix', projection, 3)
    )
    return path


def lens_pixels(rays, camera: Intrinsics, model, d):
    """
    Project rays (N, 2), x/z and y/z, by the models' formulas; OpenCV is what is tested.

    plumb_bob and rational_polynomial: Brown's; equidistant: Kannala and Brandt's.
    """
    x, y = np.asarray(rays).T
    r2 = x * x + y * y
    if model == 'equidistant':
        r = np.sqrt(r2)
        angle = np.arctan(r)
        bent = angle * (1 + sum(k * angle ** (2 * i) for i, k in enumerate(d, start=1)))
        factor = np.where(r > 0, bent / np.maximum(r, 1e-12), 1.0)
        x, y = x * factor, y * factor
    else:
        k1, k2, p1, p2, k3, k4, k5, k6 = list(d) + [0.0] * (8 - len(d))
        radial = (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3) / (1 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
        x, y = (
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
            y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        )
    return np.stack([camera.fx * x + camera.cx, camera.fy * y + camera.cy], axis=1)


def spots_through_lens(model, d):
    """Return an image in which a lens shows spots where a pinhole camera would show ``SPOTS``."""
    rays = (np.array(SPOTS) - [PINHOLE.cx, PINHOLE.cy]) / [PINHOLE.fx, PINHOLE.fy]
    y, x = np.mgrid[0 : CAMERA.height, 0 : CAMERA.width]
    image = np.zeros((CAMERA.height, CAMERA.width))
    for u, v in lens_pixels(rays, CAMERA, model, d):
        image = np.maximum(image, 250 * np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * 1.5**2)))
    return np.repeat(image[..., None], 3, axis=2).astype(np.uint8)


def spot_offsets(image):
    """Return how far from ``SPOTS`` their centres of gravity are, (N, 2) pixels."""
    seen = np.where(image[..., 1] > 25, image[..., 1], 0).astype(float)
    dv, du = np.mgrid[-5:6, -5:6]
    offsets = []
    for u, v in SPOTS:
        window = seen[v - 5 : v + 6, u - 5 : u + 6]
        offsets.append(((window * du).sum() / window.sum(), (window * dv).sum() / window.sum()))
    return np.array(offsets)
