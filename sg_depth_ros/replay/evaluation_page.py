"""The report page of ``evaluate_bag``."""

from sg_depth_ros.contract import ModelContract
from sg_depth_ros.pipeline import fitted_camera
from sg_depth_ros.pipeline import focal_correction
from sg_depth_ros.replay.gallery import frame_blocks
from sg_depth_ros.replay.judging import JudgedDrive
from sg_depth_ros.replay.judging import drive_cautions
from sg_depth_ros.replay.metric_blocks import drive_lines
from sg_depth_ros.replay.metric_blocks import error_over_time
from sg_depth_ros.replay.metric_blocks import infinite_depth_tile
from sg_depth_ros.replay.metric_blocks import metric_blocks
from sg_depth_ros.replay.metric_blocks import metric_tiles
from sg_depth_ros.replay.metric_blocks import model_table
from sg_depth_ros.replay.recorded_drive import RecordedCamera
from sg_depth_ros.report.page import Block
from sg_depth_ros.report.page import Caution
from sg_depth_ros.report.page import Command
from sg_depth_ros.report.page import Report
from sg_depth_ros.report.page import Section
from sg_depth_ros.report.page import Table
from sg_depth_ros.report.page import Text
from sg_depth_ros.report.page import Tile
from sg_depth_ros.report.page import Tiles


def evaluation_report(
    drive: JudgedDrive,
    camera: RecordedCamera,
    contract: ModelContract,
    *,
    bag: str,
    model: str,
    engine: str,
    command: str,
) -> Report:
    """Put the page together; names of bag and model as the user gave them."""
    frames = len(drive.judgements)
    tiles = (
        Tile('Images', f'{frames}', f'{drive.summary.images} with ground truth'),
        *metric_tiles(drive.summary),
        infinite_depth_tile(drive.infinite_depth),
    )
    cautions = tuple(Caution(text) for text in drive_cautions(drive, contract))
    result: tuple[Block, ...] = (Tiles(tiles), *cautions)
    sections = [Section('Result', result)]
    if drive.summary.unscaled is not None:
        sections.append(Section('Metrics', metric_blocks(drive.summary, drive.truth.source)))
    sections.append(Section('Over the drive', over_drive(drive)))
    sections += gallery_sections(drive)
    about = (
        model_table(contract, model, engine),
        recording_table(camera, bag, contract),
        Command(command),
    )
    sections.append(Section('How this was made', about))
    return Report(
        title=f'Depth of {bag.rstrip("/").rpartition("/")[2]}',
        subtitle=f'Every image once through {model}, offline, judged as the node publishes it',
        sections=tuple(sections),
    )


def over_drive(drive: JudgedDrive) -> tuple[Block, ...]:
    """Return what is measured from frame to frame, and figures where there is ground truth."""
    lines = drive_lines(drive.infinite_depth, drive.temporal_scale, drive.depth_change)
    figures = error_over_time(drive.times_s, drive.judgements)
    return (*(Text(line) for line in lines), *figures)


def gallery_sections(drive: JudgedDrive) -> list[Section]:
    """Return the pictures: along the drive, and the extremes where there is ground truth."""
    shown = (
        ('Along the drive', drive.gallery.along()),
        ('Worst frames', drive.gallery.worst()),
        ('Best frames', drive.gallery.best()),
    )
    return [
        Section(title, tuple(block for frame in frames for block in frame_blocks(frame)))
        for title, frames in shown
        if frames
    ]


def recording_table(camera: RecordedCamera, bag: str, contract: ModelContract) -> Table:
    """Return what is known of the bag's camera."""
    at_network = fitted_camera(camera.intrinsics, contract)
    factor = focal_correction(at_network, contract)
    c = camera.intrinsics
    return Table(
        ('bag', bag),
        (
            ('image topic', camera.topics.image),
            ('camera_info topic', camera.topics.camera_info or 'none'),
            ('frame', camera.frame_id),
            ('image', f'{c.width} x {c.height}, {c.horizontal_fov_deg():.0f}° wide'),
            ('camera', f'fx {c.fx:.1f}, fy {c.fy:.1f}, cx {c.cx:.1f}, cy {c.cy:.1f} px'),
            ('depth multiplied by', f"{factor:.3f} (focal length over the model's)"),
        ),
    )
