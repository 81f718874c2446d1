"""Small semantic networks as .pt2 files: for tests."""

from pathlib import Path

import torch
from torch import nn

BATCH_DIM, HEIGHT_DIM, WIDTH_DIM = 0, 2, 3


class TinySemantic(nn.Module):
    """Maps of 8 channels at stride 4 and 12 at stride 8, finest first, with all that may wake."""

    def __init__(self, classes: int = 19) -> None:
        super().__init__()
        self.fine = nn.Sequential(nn.Conv2d(3, 8, 5, 4, 2), nn.BatchNorm2d(8), nn.ReLU(True))
        self.coarse = nn.Sequential(nn.Conv2d(8, 12, 3, 2, 1), nn.BatchNorm2d(12), nn.ReLU())
        self.drop = nn.Dropout(0.5)
        self.head = nn.Conv2d(12, classes, 1)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        fine = self.fine(image)
        coarse = self.coarse(fine)
        # Something made anew, on a device of its own.
        ramp = torch.linspace(0, 1, self.head.out_channels, device=image.device)[:, None, None]
        return self.head(self.drop(coarse)) + ramp, [fine, coarse]


def tiny_semantic(classes: int = 19) -> TinySemantic:
    """Return the network with weights and statistics other than they start."""
    torch.manual_seed(0)
    network = TinySemantic(classes)
    for norm in (network.fine[1], network.coarse[1]):
        nn.init.uniform_(norm.running_mean, -1, 1)
        nn.init.uniform_(norm.running_var, 0.5, 2)
    return network.eval()


def export_program(
    network: nn.Module, shape: tuple[int, ...] = (2, 3, 64, 96), *, fixed: tuple[int, ...] = ()
) -> torch.export.ExportedProgram:
    """Export as the documentation says, some dimensions fixed."""
    sizes = {
        dim: torch.export.Dim.DYNAMIC
        for dim in (BATCH_DIM, HEIGHT_DIM, WIDTH_DIM)
        if dim not in fixed
    }
    return torch.export.export(network, (torch.zeros(shape),), dynamic_shapes=(sizes,))


def write_program(path: Path, network: nn.Module | None = None, **options: object) -> Path:
    """Write the .pt2 of a network."""
    program = export_program(tiny_semantic() if network is None else network, **options)
    torch.export.save(program, path)
    return path
