"""
What guides depth: a fixed network that gives feature maps and class scores of an image.

Either our feature pyramid network, trained by ``segment``, or any network in a ``.pt2`` file.
"""

from abc import ABC
from abc import abstractmethod
from typing import NamedTuple
from typing import TypeVar

from torch import Tensor
from torch import nn

Network = TypeVar('Network', bound='SemanticNetwork')


class SemanticOutput(NamedTuple):
    """Class scores, and the features that guide depth."""

    logits: Tensor  # [B, classes, h, w]
    features: tuple[Tensor, ...]  # [B, P, H / s, W / s] for the strides s, coarse first


class SemanticNetwork(nn.Module, ABC):
    """
    Maps an image (B, 3, H, W) in 0..1 to a ``SemanticOutput``.

    Fixed when it guides (Guizilini et al., section 3.3): see ``freeze``.
    """

    class_count: int
    feature_channels: tuple[int, ...]  # of each map, coarse first
    feature_strides: tuple[int, ...]
    frozen: bool = False

    @abstractmethod
    def describe(self) -> str:
        """Return what the network is, in a few words."""

    def check_size(self, batch: int, height: int, width: int) -> None:
        """
        Refuse images that the network cannot take, beyond what holds for every depth network.

        :raises UserError: saying what to do.
        """

    def freeze(self: Network) -> Network:
        """
        Make the network a constant: no gradients, batch norm in evaluation mode for good.

        A later ``.train()`` of this or of a surrounding module does not wake it.
        """
        self.frozen = True
        self.requires_grad_(False)
        self.eval()
        return self

    def train(self: Network, mode: bool = True) -> Network:
        """Switch between training and evaluation, unless frozen."""
        super().train(mode and not self.frozen)
        return self
