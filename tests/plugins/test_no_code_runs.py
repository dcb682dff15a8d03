"""Folders of transformers that name code of their own: none of it runs, and the user is not asked."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from transformers import ViTConfig, ViTImageProcessor, ViTModel

from samplerzoo.errors import ZooError
from samplerzoo.metrics.names import parse_features

CODE = "open({proof!r}, 'w').close()\nfrom transformers import ViTConfig as C, ViTModel as M, ViTImageProcessor as P\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Save a tiny vision transformer with its image processor, and a module beside it."""
    folder = tmp_path / "vit"
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    ViTModel(ViTConfig(**small, image_size=8, patch_size=4)).save_pretrained(folder)
    ViTImageProcessor(size={"height": 8, "width": 8}).save_pretrained(folder)
    (folder / "mine.py").write_text(CODE.format(proof=str(tmp_path / "ran")))
    return folder


MAPS = {
    "config.json": {"auto_map": {"AutoConfig": "mine.C", "AutoModel": "mine.M"}},
    "preprocessor_config.json": {"auto_map": {"AutoImageProcessor": "mine.P"}},
}


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("name", MAPS)
def test_code_of_a_folder_does_not_run(
    folder: Path, name: str, known: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Types that transformers has are read by its own classes; others are refused, whatever is answered."""
    file = folder / name
    content = {**json.loads(file.read_text()), **MAPS[name]}
    if not known:
        content |= {"model_type": "mine", "image_processor_type": "Mine"}
    file.write_text(json.dumps(content))
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 100))
    features = parse_features(f"hf:{folder}")
    if known:
        assert callable(features.load("cpu"))
    else:
        with pytest.raises(ZooError, match="cannot be read") as raised:
            features.load("cpu")
        assert "\n" not in str(raised.value)
        assert "trust_remote_code" not in str(raised.value)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("key", ["attn_implementation", "_attn_implementation"])
def test_a_kernel_of_the_hub_is_not_fetched(folder: Path, key: str) -> None:
    config = json.loads((folder / "config.json").read_text())
    for value in ({key: "owner/kernel"}, {"vision_config": {key: "kernels/owner/kernel@main"}}, {key: {"": "a/b"}}):
        (folder / "config.json").write_text(json.dumps({**config, **value}))
        with pytest.raises(ZooError, match=f"{key} names code of the hub"):
            parse_features(f"hf:{folder}").load("cpu")


def test_a_pickle_is_not_read(folder: Path, tmp_path: Path) -> None:
    import torch

    class Running:
        def __reduce__(self) -> tuple[object, ...]:
            return open, (str(tmp_path / "ran"), "w")

    for weights in folder.glob("*.safetensors"):
        weights.unlink()
    torch.save({"a": Running()}, folder / "pytorch_model.bin")
    with pytest.raises(ZooError):
        parse_features(f"hf:{folder}").load("cpu")
    assert not (tmp_path / "ran").exists()


def test_a_half_written_file_is_no_weight(folder: Path) -> None:
    before = parse_features(f"hf:{folder}").id
    (folder / ".partial-1-model.safetensors").write_bytes(b"half")
    assert parse_features(f"hf:{folder}").id == before
