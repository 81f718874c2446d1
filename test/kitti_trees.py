"""Small folders in KITTI's formats, with a Velodyne mounted as on the car: for tests."""

from pathlib import Path

import cv2
import numpy as np

from sg_depth_ros.camera import Intrinsics

CAMERA = Intrinsics(90.0, 90.0, 77.3, 24.6, 160, 48)
# Velodyne (x forward, y left, z up) to camera 0 (x right, y down, z forward).
R_0_VELODYNE = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
T_0_VELODYNE = np.array([0.02, -0.08, -0.27])
T_CAMERA_0 = np.array([0.06, 0.0, 0.003])  # X_2 = X_0 + t, as in P2 = K [I | t]
TIME_STEP_NS = 103_000_000


def image(number, camera=CAMERA):
    """Return texture that moves two pixels per frame."""
    texture = np.random.default_rng(3).integers(0, 256, (camera.height // 4, 100, 3), np.uint8)
    wide = cv2.resize(texture, (400, camera.height), interpolation=cv2.INTER_CUBIC)
    return wide[:, 2 * number : 2 * number + camera.width]


def write_image(path: Path, rgb):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), rgb[..., ::-1] if rgb.ndim == 3 else rgb)


def projection(camera=CAMERA):
    """Return P (3, 4) of a camera beside camera 0."""
    return camera.matrix() @ np.hstack([np.eye(3), T_CAMERA_0[:, None]])


def numbers(values):
    return ' '.join(f'{v:.9e}' for v in np.asarray(values, np.float64).reshape(-1))


def lidar_points():
    """Return points (N, 3) in the camera's frame that hit pixel centres, and their depth image."""
    rng = np.random.default_rng(5)
    pixels = rng.choice(CAMERA.width * CAMERA.height, 200, replace=False)
    v, u = np.divmod(pixels, CAMERA.width)
    depth_m = rng.uniform(3.0, 60.0, 200)
    rays = CAMERA.rays()[v, u].astype(np.float64)
    expected = np.zeros((CAMERA.height, CAMERA.width), np.float32)
    expected[v, u] = depth_m
    return rays * depth_m[:, None], expected


def velodyne_scan(points_camera):
    """Return a KITTI scan (N, 4) of points given in the camera's frame."""
    points_0 = points_camera - T_CAMERA_0
    points = (points_0 - T_0_VELODYNE) @ R_0_VELODYNE
    return np.hstack([points, np.ones((len(points), 1))]).astype('<f4')


def write_raw_drive(root: Path, frames=8, *, speed_m_s=8.0, camera='02', suffix='.png'):
    """Write a drive of KITTI raw with images, stamps, oxts, labels, and every second scan."""
    day = root / '2011_09_26'
    drive = day / '2011_09_26_drive_0001_sync'
    for number in range(frames):
        write_image(drive / f'image_{camera}' / 'data' / f'{number:010d}{suffix}', image(number))
        labels = np.full((CAMERA.height, CAMERA.width), number, np.uint8)
        write_image(drive / f'semantic_{camera}' / 'data' / f'{number:010d}.png', labels)
        oxts = drive / 'oxts' / 'data' / f'{number:010d}.txt'
        oxts.parent.mkdir(parents=True, exist_ok=True)
        fields = np.arange(30.0)
        fields[8] = speed_m_s
        oxts.write_text(numbers(fields))
        scan = drive / 'velodyne_points' / 'data' / f'{number:010d}.bin'
        scan.parent.mkdir(parents=True, exist_ok=True)
        if number % 2 == 0:
            velodyne_scan(lidar_points()[0]).tofile(scan)
    lines = []
    for number in range(frames):
        seconds, nanoseconds = divmod(967_930_880 + number * TIME_STEP_NS, 10**9)
        lines.append(f'2011-09-26 13:08:{24 + seconds:02d}.{nanoseconds:09d}\n')
    (drive / f'image_{camera}' / 'timestamps.txt').write_text(''.join(lines))
    (day / 'calib_cam_to_cam.txt').write_text(
        'calib_time: 09-Jan-2012 13:57:47\n'
        f'S_rect_{camera}: {CAMERA.width} {CAMERA.height}\n'
        f'R_rect_00: {numbers(np.eye(3))}\n'
        f'P_rect_{camera}: {numbers(projection())}\n'
    )
    (day / 'calib_velo_to_cam.txt').write_text(
        'calib_time: 15-Mar-2012 11:37:16\n'
        f'R: {numbers(R_0_VELODYNE)}\nT: {numbers(T_0_VELODYNE)}\n'
    )
    return drive


def write_sequence(root: Path, frames=8, *, camera='2', step_m=1.0, turn_rad=0.02):
    """Write a sequence of KITTI odometry with calibration and poses of camera 0, no times."""
    sequence = root / 'sequences' / '07'
    for number in range(frames):
        rgb = image(number)
        gray = rgb[..., 1] if camera in '01' else rgb
        write_image(sequence / f'image_{camera}' / f'{number:06d}.png', gray)
    T = projection() if camera in '23' else np.hstack([CAMERA.matrix(), np.zeros((3, 1))])
    (sequence / 'calib.txt').write_text(f'P{camera}: {numbers(T)}\n')
    poses = []
    for number in range(frames):
        c, s = np.cos(turn_rad * number), np.sin(turn_rad * number)
        pose = [[c, 0, s, 0], [0, 1, 0, 0], [-s, 0, c, step_m * number]]
        poses.append(numbers(pose))
    (root / 'poses').mkdir()
    (root / 'poses' / '07.txt').write_text('\n'.join(poses) + '\n')
    return sequence
