"""Images and camera_info of exactly the same stamp, found for each other; no ROS, one thread."""

from collections import OrderedDict
from collections import deque
from collections.abc import Callable
from typing import Generic
from typing import TypeVar

ImageT = TypeVar('ImageT')
InfoT = TypeVar('InfoT')

KEPT_INFOS = 200  # a few KB each; how far camera_info may run ahead of its images


class ExactPairing(Generic[ImageT, InfoT]):
    """
    Gives every image the camera_info of its own stamp, in the order of the images.

    Either may come first. An image is given up as soon as a camera_info of a later stamp has come,
    for messages of one publisher keep their order; when the images' stamps jump back; and when too
    many wait, so that memory stays bounded.

    :param on_pair: told of every image with its camera_info.
    :param capacity: how many images may wait.
    """

    def __init__(self, on_pair: Callable[[ImageT, InfoT], object], capacity: int) -> None:
        self._on_pair = on_pair
        self._capacity = capacity
        self._images: deque[tuple[int, ImageT]] = deque()
        self._infos: OrderedDict[int, InfoT] = OrderedDict()
        self._last_image_ns = 0
        self._last_info_ns: int | None = None
        self.given_up = 0  # images whose camera_info did not come

    @property
    def waiting(self) -> int:
        """How many images wait for their camera_info."""
        return len(self._images)

    def put_image(self, stamp_ns: int, image: ImageT) -> None:
        """Take an image in; it is handed on at once where its camera_info is here."""
        if stamp_ns < self._last_image_ns:
            self.given_up += len(self._images)
            self._images.clear()
            self._last_info_ns = None  # of the round before: nothing follows from it
        self._last_image_ns = stamp_ns
        self._images.append((stamp_ns, image))
        self._hand_on()
        if len(self._images) > self._capacity:
            self._images.popleft()
            self.given_up += 1

    def put_info(self, stamp_ns: int, info: InfoT) -> None:
        """Take a camera_info in, and hand on the images that waited for it."""
        self._infos[stamp_ns] = info
        self._infos.move_to_end(stamp_ns)
        if len(self._infos) > KEPT_INFOS:
            self._infos.popitem(last=False)
        self._last_info_ns = stamp_ns
        self._hand_on()

    def clear(self) -> None:
        """Forget what waits."""
        self._images.clear()
        self._infos.clear()
        self._last_image_ns, self._last_info_ns = 0, None

    def _hand_on(self) -> None:
        while self._images:
            stamp_ns, image = self._images[0]
            info = self._infos.pop(stamp_ns, None)
            if info is not None:
                self._images.popleft()
                self._on_pair(image, info)
            elif self._last_info_ns is not None and stamp_ns < self._last_info_ns:
                self._images.popleft()
                self.given_up += 1
            else:
                return
