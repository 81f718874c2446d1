"""What every engine promises, whichever library runs the network."""

from typing import NamedTuple
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.contract import ModelContract
from sg_depth_ros.errors import UserError


class EngineUnavailableError(UserError):
    """Why an engine cannot be had on this machine; another kind may do."""


class EngineFailedError(EngineUnavailableError):
    """Why an engine that this machine should have does not work: something to see to."""


class PlanMissingError(UserError):
    """A plan would have to be built, and whoever asks has forbidden that."""


class Prediction(NamedTuple):
    """What the network says of one image, at the network's size."""

    depth_m: NDArray[np.float32]  # [H, W], along z; up to scale unless the contract is metric
    labels: NDArray[np.uint8]  # [H, W], class ids
    confidence: NDArray[np.uint8]  # [H, W], 0 to 255


class Engine(Protocol):
    """Runs one model. Create, use and close it in one thread."""

    contract: ModelContract
    description: str  # library, version and device, for logs and diagnostics

    def infer(self, image: NDArray[np.uint8]) -> Prediction:
        """
        Predict depth and labels.

        :param image: RGB (H, W, 3), of exactly the contract's size.
        :return: arrays that the caller owns.
        """
        ...

    def close(self) -> None:
        """Free everything; the engine must not be used afterwards."""
        ...


class TimedEngine(Engine, Protocol):
    """An engine whose network can be timed without the copies around it."""

    def run_network(self) -> None:
        """Run the network on what the last image left in the engine's memory, and wait for it."""
        ...
