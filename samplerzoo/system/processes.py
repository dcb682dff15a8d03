"""Many processes: who of how many one is, what is one's share of the work, and what all of them have to know."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar

import torch

from samplerzoo.errors import ZooError

T = TypeVar("T")

PATIENCE = timedelta(days=7)
"""For how long a process waits for the others, who may have a batch of a thousand steps more to make than it has."""


def processes() -> tuple[int, int]:
    """(rank, number of processes) of an `accelerate launch` or `torchrun`; (0, 1) without one."""
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if launched == 1:
        return 0, 1
    import torch.distributed.nn.functional  # imported later, its functions would keep the group alive past `_leave`
    from accelerate import PartialState

    try:
        state = PartialState(cpu=not torch.cuda.is_available(), timeout=PATIENCE)
        seen = state.num_processes
    except ValueError:  # WORLD_SIZE without the other variables of a launcher
        seen = 1
    if seen != launched:
        raise ZooError(
            f"WORLD_SIZE is {launched} but Accelerate sees {seen} process, so each would do all the work; "
            "start with `torchrun --nproc-per-node N -m samplerzoo ...`"
        )
    return state.process_index, state.num_processes


@atexit.register
def _leave() -> None:
    """Ends the process group and its threads: one that lets go of a tensor while Python ends aborts the process."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def share(items: Sequence[T]) -> Sequence[T]:
    """What this process does of the work of all."""
    rank, world = processes()
    return items[rank::world]


def gather(items: list[T]) -> list[T]:
    """The items of all processes, in every process."""
    if processes()[1] == 1:
        return items
    from accelerate.utils import gather_object

    return list(gather_object(items))


def on_main(function: Callable[[], T]) -> T:
    """What the main process makes of it, in all processes; its error ends all of them, and it alone speaks of it."""
    rank, world = processes()
    if world == 1:
        return function()
    answer: T | Exception | None = None
    if rank == 0:
        try:
            answer = function()
        except Exception as error:
            answer = error
    answer = gather([answer])[0]
    if isinstance(answer, Exception):
        if rank == 0:
            raise answer
        raise SystemExit(getattr(answer, "exit_code", 1))
    return answer  # type: ignore[return-value]
