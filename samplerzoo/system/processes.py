"""Work on several processes: number and rank, a share of the work for each, and results for all."""

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
"""Longest time that a process waits for the others, which may have to sample one more long batch."""


def processes() -> tuple[int, int]:
    """Return (rank, number of processes) under `accelerate launch` or `torchrun`, and (0, 1) otherwise.

    Raises:
        ZooError: a launcher started several processes, but Accelerate does not see them.
    """
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if launched == 1:
        return 0, 1
    import torch.distributed.nn.functional  # if imported later, its functions keep the group alive past `_leave`
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
    """Destroy the process group. One of its threads that frees a tensor while Python exits would abort the process."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def share(items: Sequence[T]) -> Sequence[T]:
    """Return the items that this process works on: every n-th one of n processes, starting at its rank."""
    rank, world = processes()
    return items[rank::world]


def gather(items: list[T]) -> list[T]:
    """Return the items of all processes, in order of rank, on every process."""
    if processes()[1] == 1:
        return items
    from accelerate.utils import gather_object

    return list(gather_object(items))


def on_main(function: Callable[[], T]) -> T:
    """Run `function` on the main process and return its result on every process.

    If it raises, all processes exit and only the main one reports the error.
    """
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
