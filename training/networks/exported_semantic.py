"""
Any semantic network as the guide: a program in a ``.pt2`` file, written by ``torch.export.save``.

It maps a normalised image (B, 3, H, W) to (logits (B, 19, h, w), [feature maps]) and is made as
``docs/semantic_networks.md`` shows. What it needs and gives is found in the program and by running
it once; nothing has to be told.
"""

from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch import fx

from sg_depth_ros.classes import CLASS_COUNT
from sg_depth_ros.errors import UserError
from training.networks.program_archive import clean_archive
from training.networks.program_archive import load_program
from training.networks.program_interface import DYNAMIC
from training.networks.program_interface import HINT
from training.networks.program_interface import TRAINING_FORM
from training.networks.program_interface import FeatureMap
from training.networks.program_interface import graph_modules
from training.networks.program_interface import input_sizes
from training.networks.program_interface import read_maps
from training.networks.program_interface import refuse_training_form
from training.networks.semantic import SemanticNetwork
from training.networks.semantic import SemanticOutput

# Of ImageNet, RGB in 0..1: what nearly every pretrained network was trained with.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
PROGRAM_PREFIX = 'program.'
TRIAL_SHAPE = (1, 3, 128, 192)  # one image, as evaluate and export have it
GUARDS = ('Guard failed', 'Expected input')  # of torch, against sizes that were not exported


class ExportedSemanticNetwork(SemanticNetwork):
    """
    A frozen program; in a depth checkpoint it is stored whole, its weights not a second time.

    :param archive: the bytes of a ``.pt2`` file.
    :raises UserError: where it is no program that can guide; nothing in it is run as code.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, archive: bytes) -> None:
        super().__init__()
        self._archive = clean_archive(archive)
        program = load_program(self._archive)
        self._sizes = input_sizes(program)
        self.program = program.module()
        refuse_training_form(program, self.program)
        shape = (1, 3, 1, 1)
        self.register_buffer('mean', torch.tensor(MEAN).reshape(shape), persistent=False)
        self.register_buffer('std', torch.tensor(STD).reshape(shape), persistent=False)
        self.freeze()
        for module in self.program.modules():
            module.training = False
        found = self._try_out()
        self.class_count = CLASS_COUNT
        self._order = tuple(sorted(range(len(found)), key=lambda i: -found[i].stride))
        self.feature_channels = tuple(found[i].channels for i in self._order)
        self.feature_strides = tuple(found[i].stride for i in self._order)

    @classmethod
    def from_file(cls, path: Path) -> 'ExportedSemanticNetwork':
        """
        Read a ``.pt2`` file, onto the CPU.

        :raises UserError: where it is missing, damaged or cannot guide.
        """
        try:
            return cls(path.read_bytes())
        except OSError as error:
            raise UserError(f'{path}: cannot be read ({error.strerror}); {HINT}') from error
        except UserError as error:
            raise UserError(f'{path}: {error}') from error

    @classmethod
    def from_bytes(cls, program: Tensor) -> 'ExportedSemanticNetwork':
        """
        Build the network again from what ``program_bytes`` gave.

        :param program: uint8 (N,).
        """
        return cls(program.cpu().numpy().tobytes())

    def program_bytes(self) -> Tensor:
        """Return the whole program, weights included, as uint8 (N,): what a checkpoint stores."""
        return torch.frombuffer(bytearray(self._archive), dtype=torch.uint8)

    def describe(self) -> str:
        """Return what the network is, in a few words."""
        maps = zip(self.feature_channels, self.feature_strides)
        return f'an exported program ({", ".join(f"{c} channels at stride {s}" for c, s in maps)})'

    def forward(self, image: Tensor) -> SemanticOutput:
        """
        Classify an image.

        :param image: (B, 3, H, W) RGB in 0..1.
        :raises UserError: for a size that the program was not exported for.
        """
        self.check_size(len(image), *image.shape[-2:])
        logits, maps = self._run(image)  # as read_maps found them
        features = tuple(maps[i].to(image.dtype) for i in self._order)
        return SemanticOutput(logits.to(image.dtype), features)

    def check_size(self, batch: int, height: int, width: int) -> None:
        """
        Refuse what a program of fixed sizes cannot take.

        :raises UserError: saying how to export it.
        """
        names = ('batches', 'channels', 'heights', 'widths')
        for name, size, wanted in zip(names, self._sizes, (batch, 3, height, width)):
            if size.fixed not in (None, wanted):
                raise UserError(
                    f'the semantic network was exported for {name} of {size.fixed} only, not '
                    f'{wanted}; {DYNAMIC}'
                )

    def train(self, mode: bool = True) -> 'ExportedSemanticNetwork':
        """Stay in evaluation mode: a program has no other, and refuses to be asked."""
        self.training = False
        return self

    def state_dict(self, *args: Any, **options: Any) -> Any:
        """Return nothing: the program is stored as a whole."""
        destination = args[0] if args else options.get('destination')
        return {} if destination is None else destination

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        # Its own values in, so that torch misses none of them.
        for name, value in self.program.state_dict().items():
            state_dict[f'{prefix}{PROGRAM_PREFIX}{name}'] = value
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle as bytes: a program's own copies lose what torch hung onto it."""
        return _rebuild, (self.program_bytes(), self.mean.device)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        # Only the device may change. Type and memory layout stay those that were traced: the
        # program holds views that another layout cannot give, and asserts its types.
        def move(tensor: Tensor) -> Tensor:
            return tensor.to(fn(tensor).device)

        super()._apply(move, recurse)  # type: ignore[no-untyped-call]
        _set_device(self.program, self.mean.device)
        return self

    def _run(self, image: Tensor) -> Any:
        normalized = (image.float().contiguous() - self.mean) / self.std
        kind = image.device.type
        try:
            if not (torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)):
                return self.program(normalized)
            # Mixed precision would meet types that were fixed when it was exported.
            with torch.autocast(kind, enabled=False):
                return self.program(normalized)
        except (AssertionError, RuntimeError) as error:
            if not str(error).startswith(GUARDS):
                raise
            raise UserError(
                f'the exported semantic network takes no image of {tuple(image.shape)} '
                f'({_one_line(error)}); {HINT}'
            ) from error

    def _try_out(self) -> tuple['FeatureMap', ...]:
        """Run the program once: see what it gives, and that it changes nothing of itself."""
        before = {name: value.clone() for name, value in _tensors(self.program)}
        batch, channels, height, width = (
            size.fixed or -(-size.lowest // trial) * trial
            for size, trial in zip(self._sizes, TRIAL_SHAPE)
        )
        image = torch.linspace(0, 1, batch * channels * height * width)
        try:
            with torch.no_grad():
                result = self._run(image.reshape(batch, channels, height, width))
        except RuntimeError as error:
            raise UserError(
                f'the exported program fails on an image of {width}x{height} '
                f'({_one_line(error)}); {HINT}'
            ) from error
        changed = [n for n, value in _tensors(self.program) if not torch.equal(value, before[n])]
        if changed:
            raise UserError(f'running the program changes its {changed[0]}; {TRAINING_FORM}')
        return read_maps(result, height, width)


def _rebuild(program: Tensor, device: torch.device) -> ExportedSemanticNetwork:
    return ExportedSemanticNetwork.from_bytes(program).to(device)


def _one_line(error: BaseException) -> str:
    return ' '.join(str(error).split())[:200]


def _tensors(program: fx.GraphModule) -> Iterator[tuple[str, Tensor]]:
    yield from program.named_parameters()
    yield from program.named_buffers()


def _set_device(module: fx.GraphModule, device: torch.device) -> None:
    """Let the program make its new tensors on a device: the one it was exported on is in it."""

    def place(value: Any) -> Any:
        return device if isinstance(value, torch.device) else value

    for part in graph_modules(module):
        for node in part.graph.nodes:
            node.args = fx.node.map_aggregate(node.args, place)
            node.kwargs = fx.node.map_aggregate(node.kwargs, place)
        part.recompile()
