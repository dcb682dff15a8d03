"""Several processes that share the images, compared with a single one."""

from __future__ import annotations

from pathlib import Path

import folders
import pytest
import torch
from children import ranks, run_code

from samplerzoo.core.noise import Noise
from samplerzoo.core.schedule import Schedule
from samplerzoo.errors import ZooError
from samplerzoo.models.load import load
from samplerzoo.sampling.sample import sample
from samplerzoo.testing import gaussian

FLOAT32_NETWORK = 2e-5
"""Rounding of a few steps of an untrained network. The number of threads changes the order of additions."""


@pytest.mark.parametrize("launcher", [True, False])
def test_a_launch_that_accelerate_does_not_see_is_refused(
    monkeypatch: pytest.MonkeyPatch, linear: Schedule, launcher: bool
) -> None:
    """Prevent that every process samples every image."""
    import accelerate

    class Alone:
        num_processes = 1

        def __init__(self, cpu: bool, timeout: object) -> None:
            if not launcher:  # as Accelerate does if a batch system sets WORLD_SIZE but not MASTER_ADDR
                raise ValueError("MASTER_ADDR was not set")

    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(accelerate, "PartialState", Alone)
    with pytest.raises(ZooError, match="torchrun --nproc-per-node"):
        sample(gaussian(linear), num_images=1)


WORKER = """
import sys, torch, samplerzoo as zoo
from pathlib import Path
from samplerzoo.system import processes as group
from samplerzoo.system.processes import processes
rank, world = processes()  # before diffusers is imported, as the command line does it
model = zoo.load(sys.argv[1], device="cpu", dtype="float32")
start = []
result = zoo.sample(model, "ddpm", steps=3, num_images=5, batch_size=2, clip_x0="static",
                    on_step=lambda number, _, x: start.append(x) if number == 0 else None)
asked = zoo.load(sys.argv[3], device="cpu", dtype="float32")
told = zoo.sample(asked, "ddpm", steps=2, num_images=5, batch_size=2, prompts=["a cat", "two dogs", ""])
torch.save({"images": result.images, "asked": told.images, "start": torch.cat(start), "nfe": result.nfe, "world": world,
            "images counted": result.cost.images}, f"{sys.argv[2]}/{rank}.pt")
group._leave()
print([path.read_text() for path in Path("/proc/self/task").glob("*/comm")], file=sys.stderr)
"""


def test_same_images_on_two_processes(tiny_model: Path, tmp_path: Path) -> None:
    """Compare the noise bit by bit, and pixels up to rounding, which depends on the number of threads."""
    done = run_code(WORKER, tiny_model, tmp_path, folders.sd(tmp_path / "text"), variables=ranks(2))
    assert done.codes == [0, 0], done.err
    assert all("pt_main_thread" in said or "python" in said for said in done.err)  # the names of the threads
    assert "gloo" not in "".join(done.err)  # a remaining thread may abort the process while Python exits
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    model = load(tiny_model, device="cpu", dtype="float32")
    alone = sample(model, "ddpm", steps=3, num_images=5, batch_size=2, clip_x0="static")
    for part in (first, second):
        torch.testing.assert_close(part["images"], alone.images, rtol=0, atol=FLOAT32_NETWORK)
        assert (part["world"], part["nfe"], part["images counted"]) == (2, 3, 5)
    assert torch.equal(first["images"], second["images"])
    text = load(tmp_path / "text", device="cpu", dtype="float32")
    asked = sample(text, "ddpm", steps=2, num_images=5, batch_size=2, prompts=["a cat", "two dogs", ""])
    for part in (first, second):
        torch.testing.assert_close(part["asked"], asked.images, rtol=0, atol=FLOAT32_NETWORK)
    noise = Noise(0, range(5), (1, 8, 8))()
    assert torch.equal(first["start"], noise[[0, 1, 4]])
    assert torch.equal(second["start"], noise[[2, 3]])
