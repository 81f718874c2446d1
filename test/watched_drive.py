"""A drive before the real node in its own process: good images, bad ones, and what it says."""

import signal
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from fragile_model import write_fragile_model
from node_harness import FRAME_ID
from node_harness import OUTPUTS
from node_harness import Bench
from node_harness import NodeProcess
from node_harness import depth_of
from node_harness import image_message
from node_harness import info_message
from numpy.typing import NDArray
from sensor_msgs.msg import Image
from tiny_model import tiny_contract
from tiny_model import tiny_ramp_m

from sg_depth_ros.camera import Intrinsics

# Images of twice the network's size, of the camera that the model was "trained" with.
CONTRACT = tiny_contract()
CAMERA = CONTRACT.intrinsics.resized(2 * CONTRACT.width, 2 * CONTRACT.height)
SKY_ROWS = CONTRACT.height // 4
ERROR = 2


def picture(red: int = 0, camera: Intrinsics = CAMERA) -> NDArray[np.uint8]:
    pixels = np.zeros((camera.height, camera.width, 3), np.uint8)
    pixels[...] = red, 100, 50
    return pixels


def expected_depth_m(red: int = 0) -> NDArray[np.float32]:
    depth_m = tiny_ramp_m(CONTRACT) * np.float32(1 + red / 100)
    depth_m[:SKY_ROWS] = np.inf
    return depth_m


class Drive:
    """A drive before the node under test: images whose stamps go up."""

    def __init__(self, bench: Bench, node: NodeProcess) -> None:
        self.bench, self.node = bench, node
        self.seconds = 100

    def show(self, pixels: NDArray[np.uint8], encoding: str = 'rgb8', **fields: Any) -> int:
        """Publish an image, with fields of the message replaced, and return its stamp."""
        self.seconds += 1
        message = image_message(pixels, self.seconds, encoding)
        for name, value in fields.items():
            setattr(message, name, value)
        self.bench.images.publish(message)
        return self.seconds

    def tell(self, camera: Intrinsics = CAMERA, **fields: Any) -> None:
        """Publish camera_info, and give it the time to be there before the next image."""
        self.bench.infos.publish(info_message(camera, self.seconds, **fields))
        self.bench.spin(0.1)

    def output(self, seconds: int, topic: str = 'depth/image') -> Any:
        """Wait for the message of a stamp."""

        def found() -> list[Any]:
            return [m for m in self.bench.received[topic] if m.header.stamp.sec == seconds]

        self.bench.wait(lambda: bool(found()))
        (message,) = found()
        return message

    def check_good(self, red: int) -> None:
        """Show a good image; one of each output must come, and the depth be right."""
        seconds = self.show(picture(red))
        np.testing.assert_allclose(
            depth_of(self.output(seconds)), expected_depth_m(red), rtol=1e-4
        )
        assert self.output(seconds, 'points').header.frame_id == FRAME_ID
        assert self.output(seconds, 'depth/camera_info').width == CONTRACT.width

    def check_good_again(self) -> None:
        """Show a good camera and image: whatever came before, the next frame must be right."""
        if self.node.process.poll() is None:
            self.tell()
            self.check_good(7)

    def configure_again(self, **parameters: object) -> None:
        """Let the node forget the camera, and wait until its new outputs are heard."""
        self.bench.configure_again(**parameters)

        def heard() -> bool:
            self.show(picture())
            self.bench.spin(0.2)
            return self.came(self.seconds, topic='semantic/mask') != []

        self.bench.wait(heard)

    def came(self, *stamps: int, topic: str = 'depth/image') -> list[int]:
        """Return those of the stamps that came out; a good image has to come after them."""
        seen = [m.header.stamp.sec for m in self.bench.received[topic]]
        return [seconds for seconds in seen if seconds in stamps]

    def complains(self, show: Callable[[], object], *texts: str) -> str:
        """
        Show something until the node logs a line with all the texts, and return the line.

        Errors are throttled, so that the first time may pass in silence.
        """
        start, end_s = len(self.node.text), time.monotonic() + 15
        while True:
            show()
            self.bench.spin(0.3)
            for line in self.node.text[start:].splitlines():
                if all(text in line for text in texts):
                    return line
            assert self.node.process.poll() is None, self.node.text
            assert time.monotonic() < end_s, f'no line with {texts}:\n{self.node.text[start:]}'

    def diagnosed(self, part: str, level: int, text: str = '') -> None:
        """Wait until the diagnostics say this of a part."""

        def said() -> bool:
            found_level, message = self.bench.diagnosis(part)
            return found_level == level and text in message

        self.bench.wait(lambda: part in self.bench.diagnostics and said())


@contextmanager
def watched_drive(folder: Path) -> Iterator[Drive]:
    """Start a node of the fragile model, and show it that all is well; end it and its process."""
    model = folder / 'model.onnx'
    write_fragile_model(model)
    # The mask comes of every image that was worked on, with a camera or without.
    bench = Bench({**OUTPUTS, 'semantic/mask': Image})
    with NodeProcess(
        folder / 'log', model, processing_mode='every', camera_info_wait_s=0.0
    ) as node:
        bench.connect(node)
        drive = Drive(bench, node)
        drive.tell()
        drive.check_good(1)
        yield drive
        assert node.end(signal.SIGTERM) == 0, node.text
    bench.close()
