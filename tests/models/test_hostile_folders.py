"""Untrusted model folders: errors of one line, no code runs, and memory stays in proportion."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from samplerzoo.errors import ZooError
from samplerzoo.models.load import ModelFolder, load


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    """Allow 4 GiB more than there is: what takes more fails here, and does not swap for an hour."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**32, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def change(file: Path, **keys: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **keys}))


def refused(folder: Path, *parts: str) -> None:
    with pytest.raises(ZooError) as raised:
        load(folder, device="cpu", dtype="float32")
    assert "\n" not in str(raised.value)
    for part in parts:
        assert part in str(raised.value)


VP = {
    "num_train_timesteps": [10**12, 0, -1, 1.5, "1000", True, [1000], None],
    "beta_start": ["0.1", -1, {}, [1]],
    "beta_schedule": ["banana", 3, None],
    "trained_betas": ["x", [], [0.1, "x"], [2.0], [[0.1]]],
    "prediction_type": ["banana", 3, ["epsilon"]],
    "variance_type": ["banana", 3],
    "rescale_betas_zero_snr": ["yes", 2],
    "thresholding": ["no"],
    "clip_sample_range": [0, -1, "1"],
}
FLOW = {
    "_class_name": "FlowMatchEulerDiscreteScheduler",
    "shift": [0, -1, "3", [3]],
    "shift_terminal": [1.5, 1.0, -0.1],
    "time_shift_type": ["foo"],
    "base_image_seq_len": [4096],
    "max_shift": [1e300, "x"],
}
EDM = {
    "_class_name": "EDMEulerScheduler",
    "sigma_schedule": ["foo", 3],
    "sigma_data": [0, -0.5, "0.5"],
    "sigma_min": [0, 100, "x"],
    "rho": [0, -7],
}
LCM = {"_class_name": "LCMScheduler", "original_inference_steps": [0, 1001, 10**9, "50"], "timestep_scaling": [0, -1]}
CASES = [
    (kind.get("_class_name", "DDPMScheduler"), key, value)
    for kind in (VP, FLOW, EDM, LCM)
    for key, values in kind.items()
    if key != "_class_name"
    for value in values
]


@pytest.mark.parametrize(("kind", "key", "value"), CASES, ids=[f"{kind}-{key}-{value}" for kind, key, value in CASES])
def test_a_scheduler_value_that_cannot_be(tiny_model: Path, kind: str, key: str, value: Any) -> None:
    file = tiny_model / "scheduler" / "scheduler_config.json"
    known = {"num_train_timesteps": 1000, "use_dynamic_shifting": True} if kind.startswith("Flow") else {}
    file.write_text(json.dumps({"_class_name": kind, **known, key: value}))
    change(tiny_model / "model_index.json", scheduler=["diffusers", kind])
    refused(tiny_model, "scheduler")


@pytest.mark.parametrize(
    "text", ['{"num_train_timesteps": NaN}', "[" * 3000, '{"beta_end": ' + "9" * 5000 + "}", "[]", "", "\x00", "1e999"]
)
@pytest.mark.parametrize(
    "name", ["model_index.json", "samplerzoo.json", "unet/config.json", "scheduler/scheduler_config.json"]
)
def test_a_file_that_is_no_object_of_json(tiny_model: Path, name: str, text: str) -> None:
    (tiny_model / name).write_text(text)
    refused(tiny_model, name)


def test_a_mark_of_byte_order_is_no_fault(tiny_model: Path) -> None:
    for file in tiny_model.rglob("*.json"):
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert ModelFolder.open(tiny_model).stub.num_classes == 3


NETWORK = {
    "sample_size": [10**6, 0, -8, "8", [8], [8, "x"], [8, 8, 8], {}],
    "in_channels": ["1", 0, 10**9, None],
    "num_class_embeds": ["4", -1, 10**12],
    "block_out_channels": [[], "8", [0, 8], [2**30, 2**30], [8] * 100, [2**16, 2**16]],
    "layers_per_block": [0, 10**9, "1", 200],
    "time_embedding_type": ["banana", 3],
    "_class_name": [["diffusers", "UNet2DModel"], 3],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in NETWORK.items() for value in values])
def test_a_network_value_that_cannot_be(tiny_model: Path, key: str, value: Any) -> None:
    change(tiny_model / "unet" / "config.json", **{key: value})
    refused(tiny_model)


@pytest.mark.parametrize(
    "keys",
    [
        {"unet": ["diffusers", ["UNet2DModel"]]},
        {"unet": ["diffusers"]},
        {"../tiny/unet": ["diffusers", "UNet2DModel"]},
        {"": ["diffusers", "UNet2DModel"]},
        {"unet": {}},
        {"unet": ["diffusers", 3]},
        {"_class_name": ["pipeline", "Mine"]},
    ],
)
def test_an_index_that_names_what_is_no_part(tiny_model: Path, keys: dict[str, Any]) -> None:
    change(tiny_model / "model_index.json", **keys)
    refused(tiny_model)


def test_weights_outside_of_the_folder_are_not_read(tiny_model: Path) -> None:
    unet = tiny_model / "unet"
    weights = unet / "diffusion_pytorch_model.safetensors"
    names = [*load_file(weights)]
    weights.rename(tiny_model / "outside.safetensors")
    index = unet / "diffusion_pytorch_model.safetensors.index.json"
    for value in ("../outside.safetensors", str(tiny_model / "outside.safetensors"), ["a", "b"], 3, "", "x.bin"):
        index.write_text(json.dumps({"metadata": {}, "weight_map": dict.fromkeys(names, value)}))
        refused(tiny_model, index.name)
    for text in ("{}", "[]", '{"weight_map": []}', '{"weight_map": {"a": "missing.safetensors"}}'):
        index.write_text(text)
        refused(tiny_model, index.name)


@pytest.mark.parametrize("header", [2**40, 2**63, 0, 10**7])
def test_a_header_of_weights_that_cannot_be(tiny_model: Path, header: int) -> None:
    (tiny_model / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(
        header.to_bytes(8, "little") + b"{}" * 999
    )
    refused(tiny_model, "unet")


def test_names_of_a_megabyte(tiny_model: Path) -> None:
    for keys in ({"class_names": ["a" * 10**6, "b", "c"]}, {"num_classes": 10**12}, {"class_counts": [1, 2]}):
        file = tiny_model / "samplerzoo.json"
        kept = file.read_text()
        change(file, **keys)
        refused(tiny_model, "samplerzoo.json")
        file.write_text(kept)


def test_what_a_killed_process_left_is_no_part_of_a_model(tiny_model: Path) -> None:
    before = ModelFolder.open(tiny_model).fingerprint
    (tiny_model / "unet" / ".partial-1-config.json").write_text("{")
    (tiny_model / ".partial-abc").mkdir()
    save_file({}, tiny_model / "unet" / ".partial-1-weights.safetensors")
    assert ModelFolder.open(tiny_model).fingerprint == before
    load(tiny_model, device="cpu")


def test_no_code_of_a_folder_runs(tiny_model: Path, tmp_path: Path) -> None:
    """Neither the pipeline's nor a part's own class is taken from the folder, whoever loads it."""
    from samplerzoo.hosting.pipeline import SamplerPipeline

    proof = tmp_path / "ran"
    code = f"open({str(proof)!r}, 'w').close()\nfrom diffusers import UNet2DModel as Mine, DDPMPipeline as Pipeline\n"
    for name in ("unet/mine.py", "mine.py", "pipeline.py"):
        (tiny_model / name).write_text(code)
    for keys in ({"unet": ["mine", "Mine"]}, {"_class_name": ["pipeline", "Pipeline"]}, {"_class_name": "pipeline"}):
        change(tiny_model / "model_index.json", **keys)
        for open_it in (load, SamplerPipeline.from_pretrained):
            with suppress(Exception):  # diffusers has errors of its own
                open_it(str(tiny_model))
            assert not proof.exists()
