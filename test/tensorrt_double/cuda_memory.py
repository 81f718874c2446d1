"""The double's memory, streams and graphs."""

import threading
from dataclasses import dataclass
from dataclasses import field

import numpy as np

FRESH, FREED = 0xCD, 0xDD  # what is found in memory that nobody wrote, or that was freed
ALIGNMENT = 512


@dataclass(eq=False)
class Block:
    """An allocation; ``kind`` is device or pinned."""

    kind: str
    address: int
    content: np.ndarray
    freed: bool = False


@dataclass(eq=False)
class Operation:
    """Work on a stream: what it does, and the memory it touches."""

    what: str
    run: object
    touches: tuple = ()  # of Block


class Handle:
    """An opaque number, as cudaStream_t and the like."""

    def __init__(self, kind, number):
        self.kind, self.number = kind, number
        self.thread = threading.get_ident()

    def __int__(self):
        return self.number

    def __repr__(self):
        return f'{self.kind} {self.number:#x}'


class Stream(Handle):
    """A queue of work that is done when somebody waits for it."""

    def __init__(self, number):
        super().__init__('stream', number)
        self.queue = []
        self.captured = None  # while capturing: what was captured so far
        self.is_invalid = False  # the capture, by something that cannot be captured


class Graph(Handle):
    """Captured work."""

    def __init__(self, number, operations):
        super().__init__('graph', number)
        self.operations = operations


@dataclass
class Memory:
    """All of the double's memory."""

    world: object
    blocks: dict = field(default_factory=dict)  # by address
    old: list = field(default_factory=list)  # freed, but kept: who still looks finds FREED
    next_device_address: int = 0x7D00_0000_0000

    def allocate(self, kind, size):
        content = np.full(size + ALIGNMENT, FRESH, np.uint8)
        start = -content.ctypes.data % ALIGNMENT
        content = content[start : start + size]
        address = content.ctypes.data
        if kind == 'device':
            address = self.next_device_address
            # A gap behind every block, so that running over its end hits nothing.
            self.next_device_address += (size // ALIGNMENT + 2) * ALIGNMENT
        self.blocks[address] = Block(kind, address, content)
        return address

    def free(self, kind, address, streams):
        block = self.blocks.get(address)
        if block is None:
            is_old = any(block.address == address for block in self.old)
            how = 'twice' if is_old else 'that was never allocated'
            self.world.misuse(f'{kind} memory {address:#x} freed {how}')
        if block.kind != kind:
            self.world.misuse(f'{block.kind} memory freed as {kind} memory')
        for stream in streams:
            for operation in stream.queue:
                if block in operation.touches:
                    self.world.misuse(f'{kind} memory freed while {operation.what} is queued')
        del self.blocks[address]
        block.freed = True
        block.content[:] = FREED
        self.old.append(block)

    def find(self, address, size, kind, what):
        """Return the block and the bytes at an address; misuse where there are none such."""
        address = int(address)
        for block in self.blocks.values():
            offset = address - block.address
            if 0 <= offset < max(1, block.content.size):
                if block.kind != kind:
                    self.world.misuse(f'{what}: {block.kind} memory where {kind} is needed')
                if offset + size > block.content.size:
                    self.world.misuse(
                        f'{what}: {size} bytes in memory of {block.content.size - offset}'
                    )
                return block, block.content[offset : offset + size]
        for block in self.old:
            if 0 <= address - block.address < max(1, block.content.size):
                self.world.misuse(f'{what}: memory that was freed')
        if kind == 'pinned':
            self.world.misuse(f'{what}: {address:#x} is pageable or no memory, not pinned')
        return self.world.misuse(f'{what}: {address:#x} is no {kind} memory')

    def checked_run(self, operation):
        for block in operation.touches:
            if block.freed:
                self.world.misuse(f'{operation.what} ran on memory that was freed')
        operation.run()
