"""A picture of a frame rebuilt from its neighbours, without what makes it (torch)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Panel(NamedTuple):
    """A frame rebuilt from its neighbours."""

    frame: int
    picture: NDArray[np.uint8]  # [H, W, 3], RGB
    caption: str
