"""What a plan is built for; where any of it changes, another plan is needed."""

import hashlib
import json
from typing import NamedTuple

from sg_depth_ros.engines.options import TensorRTOptions


class PlanKey(NamedTuple):
    """A model, a machine, and the options that change a plan."""

    model_sha256: str  # of the whole file
    tensorrt: str  # name and version, 'TensorRT 10.3.0'
    gpu_name: str
    compute_capability: str  # '8.7'
    optimization_level: int
    workspace_mb: int | None
    tf32: bool
    hardware_compatible: bool
    version_compatible: bool

    def identity(self) -> tuple[object, ...]:
        """Return what two keys of one plan have in common."""
        key = self
        if self.hardware_compatible:
            key = key._replace(gpu_name='', compute_capability='')
        if self.version_compatible:
            key = key._replace(tensorrt=self.tensorrt.partition('.')[0])
        return tuple(key)

    def name(self) -> str:
        """Return the plan's file name without its suffix; it begins with the model's digest."""
        return f'{self.model_sha256[:16]}.{_digest(self.identity())}'

    def timing_name(self) -> str:
        """Return the like for what builds measure: any model, this machine alone."""
        return _digest((self.tensorrt, self.gpu_name, self.compute_capability))

    def differing(self, wanted: 'PlanKey') -> list[str]:
        """Return the fields for which a plan of this key does not do where that one is wanted."""
        fields = zip(self._fields, self.identity(), wanted.identity())
        return [name for name, mine, other in fields if mine != other]

    def difference(self, wanted: 'PlanKey') -> str:
        """Return 'is for TensorRT 10.3.0, this is TensorRT 10.13.0'."""
        names = self.differing(wanted)
        mine = ', '.join(self._phrase(name) for name in names)
        other = ', '.join(wanted._phrase(name) for name in names)
        return f'is for {mine}, this is {other}'

    def _phrase(self, name: str) -> str:
        value = getattr(self, name)
        if name == 'model_sha256':
            return f'model {value[:16]}'
        if name == 'compute_capability':
            return f'compute capability {value}'
        if name == 'optimization_level':
            return f'optimization level {value}'
        if name == 'workspace_mb':
            return 'any workspace' if value is None else f'a workspace of {value} MB'
        if name == 'tf32':
            return 'TF32' if value else 'no TF32'
        if name == 'hardware_compatible':
            return 'every GPU from Ampere on' if value else 'one GPU'
        if name == 'version_compatible':
            return 'later TensorRTs too' if value else 'one TensorRT'
        return str(value)


def plan_key(
    model_sha256: str,
    tensorrt: str,
    gpu_name: str,
    compute_capability: tuple[int, int],
    options: TensorRTOptions,
) -> PlanKey:
    """
    Return the key for a model on a machine.

    :param model_sha256: ``ModelFile.sha256``.
    :param tensorrt: the library's name and version, 'TensorRT 10.3.0'.
    """
    major, minor = compute_capability
    return PlanKey(
        model_sha256,
        tensorrt,
        gpu_name,
        f'{major}.{minor}',
        options.optimization_level,
        options.workspace_mb,
        options.tf32,
        options.hardware_compatible,
        options.version_compatible,
    )


def _digest(parts: tuple[object, ...]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
