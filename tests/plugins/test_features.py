"""Built-in feature networks, on files that stand for downloads."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from samplerzoo_plugins import inception

from samplerzoo import registry
from samplerzoo.cli import main
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.metrics.embed import Embedder
from samplerzoo.metrics.names import PUBLISHED_INCEPTION, metric_name, parse_features
from samplerzoo.testing import check_features
from samplerzoo.testing.checks import check_other_channels_are_refused_in_one_line

GREY = np.random.default_rng(0).integers(0, 256, size=(5, 1, 8, 8), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, size=(5, 3, 8, 8), dtype=np.uint8)


def features(spec: str, images: np.ndarray) -> np.ndarray:
    found, _ = Embedder(parse_features(spec))(images, [""] * len(images))
    return found


# -- by name


def test_what_stands_behind_the_colon_is_the_source() -> None:
    found = parse_features("hf:some/model")
    assert (found.source, found.name) == ("some/model", "model")
    assert parse_features("classifier:mnist").name == "mnist"
    assert parse_features("pixels") == parse_features("samplerzoo:pixels")
    assert parse_features("samplerzoo:classifier:mnist") == parse_features("classifier:mnist")
    with pytest.raises(UsageError, match=r"no features 'pixel' \(did you mean pixels\?\)"):
        parse_features("pixel:x")
    for spec in ("classifier", "hf"):
        with pytest.raises(UsageError, match=rf"features {spec}: say .*as in {spec}:"):
            _ = parse_features(spec).id


def test_a_file_may_define_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(registry, "_files", {})
    path = tmp_path / "mine.py"
    path.write_text(
        "import samplerzoo as zoo\n"
        "class MeanInk(zoo.Features):\n"
        "    '''Means of rows.'''\n"
        "    id = property(lambda self: 'rows')\n"
        "    def load(self, device='cpu'):\n"
        "        return lambda images: images.float().mean(dim=(1, 3))\n"
    )
    assert main(["eval", "--fake", "digits", "--real", "digits", "--features", "mean-ink", "--plugin", str(path)]) == 0
    assert "fd_mean-ink@359 against digits: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("has", "lacks"), [("id = property(lambda self: '')", "load"), ("load = lambda self, device: None", "id")]
)
def test_one_that_is_not_whole_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has: str, lacks: str
) -> None:
    monkeypatch.setattr(registry, "_files", {})
    path = tmp_path / "mine.py"
    path.write_text(f"import samplerzoo as zoo\nclass Half(zoo.Features):\n    {has}\n")
    with pytest.raises(ZooError, match=rf"features 'half' of mine is broken: .*Half does not define {lacks}"):
        registry.load_file(path)


# -- pixels


def test_pixels_are_themselves() -> None:
    np.testing.assert_allclose(features("pixels", COLOUR), COLOUR.reshape(5, -1) / 255, rtol=1e-6)


# -- inception


class _Stub(torch.nn.Module):
    """Network that answers as the published file does: features if asked for, else probabilities."""

    def forward(self, images: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        assert images.dtype == torch.uint8
        assert images.shape[1] == 3
        found = images.float().flatten(1)[:, :20]
        return found if return_features else found[:, :2]


class _Other(torch.nn.Module):
    """Network without that argument."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.float().flatten(1)


@pytest.fixture
def stub(tmp_path: Path) -> Path:
    torch.jit.script(_Stub()).save(tmp_path / "stub.pt")
    return tmp_path / "stub.pt"


def test_a_torchscript_file_is_shown_uint8_in_three_channels_and_asked_for_features(stub: Path) -> None:
    spec = f"inception:{stub}"
    np.testing.assert_array_equal(features(spec, COLOUR), COLOUR.reshape(5, -1)[:, :20])
    np.testing.assert_array_equal(features(spec, GREY), np.repeat(GREY, 3, axis=1).reshape(5, -1)[:, :20])
    with pytest.raises(UsageError, match="1 or 3 channels, and these have 4"):
        features(spec, np.zeros((2, 4, 8, 8), dtype=np.uint8))


def test_its_sha256_is_recorded_and_only_the_published_one_prints_as_fid(stub: Path, capsys) -> None:
    found = parse_features(f"inception:{stub}")
    sha256 = hashlib.sha256(stub.read_bytes()).hexdigest()
    assert found.id == f"{sha256[:16]} uint8, resized by the network"
    assert metric_name(found.name, found.id, 10) == "fd_inception@10"
    assert metric_name(found.name, found.id.replace(sha256[:16], PUBLISHED_INCEPTION[:16]), 10) == "fid@10"
    assert metric_name("inception", "3d5e9869bf5b7e7f pixels in [-1, 1]", None) == "fd_inception"
    assert main(["eval", "--fake", "digits", "--real", "digits", "--features", f"inception:{stub}", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["metric"], record["features_id"]) == ("fd_inception@359", found.id)


def test_files_that_are_no_such_network_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no file .*absent\.pt; get https://.* and give it as inception:FILE"):
        _ = parse_features(f"inception:{tmp_path / 'absent.pt'}").id
    (tmp_path / "noise.pt").write_bytes(b"noise")
    with pytest.raises(ZooError, match=r"noise\.pt: not a TorchScript file"):
        features(f"inception:{tmp_path / 'noise.pt'}", COLOUR)
    torch.jit.script(_Other()).save(tmp_path / "other.pt")
    with pytest.raises(ZooError, match=r"other\.pt: does not answer as inception-2015-12-05\.pt does"):
        features(f"inception:{tmp_path / 'other.pt'}", COLOUR)


def test_without_a_network_a_download_is_one_line_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("<urlopen error [Errno -2] Name or service not known>")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "urlopen", refuse)
    assert main(["eval", "--fake", "digits", "--real", "digits", "--features", "inception"]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "the download failed (OSError: <urlopen error" in err
    assert "give it as inception:FILE" in err
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_download_is_checked_and_cached_whole(stub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(inception, "URL", stub.as_uri())
    with pytest.raises(ZooError, match=r"the download failed .*hash"):
        _ = parse_features("inception").id
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    monkeypatch.setattr(inception, "PUBLISHED_INCEPTION", hashlib.sha256(stub.read_bytes()).hexdigest())
    np.testing.assert_array_equal(features("inception", COLOUR), COLOUR.reshape(5, -1)[:, :20])
    stub.unlink()  # and is not fetched again
    assert features("inception", COLOUR).shape == (5, 20)


# -- transformers


@pytest.fixture(scope="module")
def dinov2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import BitImageProcessor, Dinov2Config, Dinov2Model

    folder = tmp_path_factory.mktemp("hf") / "tiny-dino"
    config = Dinov2Config(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        Dinov2Model(config).save_pretrained(folder)
    BitImageProcessor(
        size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}, image_mean=[0.5] * 3, image_std=[0.25] * 3
    ).save_pretrained(folder)
    return folder


def test_a_transformers_folder_sees_images_as_its_processor_prepares_them(dinov2: Path) -> None:
    from transformers import AutoModel

    images = np.random.default_rng(0).integers(0, 256, size=(3, 3, 28, 28), dtype=np.uint8)  # of its own size
    net = AutoModel.from_pretrained(dinov2).eval()
    pixels = (torch.from_numpy(images).float() / 255 - 0.5) / 0.25
    with torch.no_grad():
        expected = net(pixel_values=pixels).pooler_output.numpy()
    np.testing.assert_allclose(features(f"hf:{dinov2}", images), expected, rtol=1e-4, atol=1e-5)
    assert parse_features(f"hf:{dinov2}").name == "tiny-dino"


def test_grey_images_of_another_size_are_fitted_by_the_processor(dinov2: Path) -> None:
    spec = f"hf:{dinov2}"
    assert features(spec, GREY).shape == (5, 16)
    np.testing.assert_array_equal(features(spec, GREY), features(spec, np.repeat(GREY, 3, axis=1)))


def test_images_of_other_channels_are_refused(dinov2: Path) -> None:
    check_other_channels_are_refused_in_one_line(parse_features(f"hf:{dinov2}"))


@pytest.mark.slow
def test_the_kit_passes_them(dinov2: Path) -> None:
    for spec in (f"hf:{dinov2}", "classifier:mnist"):
        assert {outcome.status for outcome in check_features(parse_features(spec))} == {"passed", "skipped"}


def test_its_id_holds_weights_and_preprocessing(dinov2: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(dinov2, copy)
    first = parse_features(f"hf:{dinov2}").id
    assert parse_features(f"hf:{copy}").id == first
    processor = copy / "preprocessor_config.json"
    processor.write_text(processor.read_text().replace("0.25", "0.5"))
    assert parse_features(f"hf:{copy}").id != first
    assert parse_features(f"hf:{copy}").id[:16] == first[:16]


def test_a_model_that_was_saved_without_its_pooler_gives_its_first_token(tmp_path: Path) -> None:
    from transformers import AutoModel, ViTConfig, ViTForImageClassification, ViTImageProcessor

    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    ViTForImageClassification(ViTConfig(image_size=8, patch_size=4, **size)).save_pretrained(tmp_path)
    ViTImageProcessor(size={"height": 8, "width": 8}).save_pretrained(tmp_path)
    net = AutoModel.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        expected = net(pixel_values=torch.from_numpy(COLOUR).float() / 127.5 - 1).last_hidden_state[:, 0].numpy()
    np.testing.assert_allclose(features(f"hf:{tmp_path}", COLOUR), expected, rtol=1e-4, atol=1e-5)


def test_a_clip_gives_its_image_embedding(tmp_path: Path) -> None:
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    vision = {**size, "image_size": 8, "patch_size": 4}
    CLIPModel(CLIPConfig(text_config=size, vision_config=vision, projection_dim=12)).save_pretrained(tmp_path)
    side = {"height": 8, "width": 8}
    CLIPImageProcessor(size={"shortest_edge": 8}, crop_size=side).save_pretrained(tmp_path)
    assert features(f"hf:{tmp_path}", COLOUR).shape == (5, 12)


def test_folders_that_are_not_whole_are_refused(dinov2: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(dinov2, copy)
    (copy / "model.safetensors").write_bytes(b"")
    with pytest.raises(ZooError, match=r"copy/model.safetensors: cannot be read: it is cut short or damaged"):
        features(f"hf:{copy}", COLOUR)
    (copy / "preprocessor_config.json").unlink()
    with pytest.raises(ZooError, match=r"copy: no preprocessor_config\.json"):
        _ = parse_features(f"hf:{copy}").id
    with pytest.raises(UsageError, match="no model"):
        _ = parse_features("hf:nothing-of-that-name").id


def transformers_folder(folder: Path, net: object) -> str:
    """Save a network and an image processor of 32 pixels as transformers does today."""
    from transformers import ViTImageProcessor

    net.save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return f"hf:{folder}"


VIT = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64, "image_size": 32,
       "patch_size": 8}  # fmt: skip


def test_a_masked_autoencoder_sees_the_whole_image(tmp_path: Path) -> None:
    """Its weights without a mask make a plain ViT, whose last layer is normalised as well."""
    from transformers import ViTConfig, ViTMAEConfig, ViTMAEModel, ViTModel

    masked = ViTMAEModel(ViTMAEConfig(**VIT)).eval()
    plain = ViTModel(ViTConfig(**VIT), add_pooling_layer=False).eval()
    plain.load_state_dict(masked.state_dict())
    spec = transformers_folder(tmp_path / "mae", masked)
    pixels = torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(0)).mul(255).byte()
    with torch.inference_mode():
        expected = plain(pixel_values=pixels.float() / 127.5 - 1).last_hidden_state[:, 0]
    np.testing.assert_allclose(features(spec, pixels), expected, rtol=1e-4, atol=1e-5)


def test_networks_without_a_pooler(tmp_path: Path) -> None:
    from transformers import SegformerConfig, SegformerModel, ViTMSNConfig, ViTMSNModel

    pixels = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    tokens = ViTMSNModel(ViTMSNConfig(**VIT)).eval()
    with torch.inference_mode():
        expected = tokens(pixel_values=pixels.float() / 127.5 - 1).last_hidden_state[:, 0]
    np.testing.assert_allclose(
        features(transformers_folder(tmp_path / "msn", tokens), pixels), expected, rtol=1e-4, atol=1e-5
    )
    mapped = SegformerModel(SegformerConfig(hidden_sizes=[8, 8, 8, 16], depths=[1, 1, 1, 1])).eval()
    with torch.inference_mode():
        expected = mapped(pixel_values=pixels.float() / 127.5 - 1).last_hidden_state.mean((2, 3))
    np.testing.assert_allclose(
        features(transformers_folder(tmp_path / "map", mapped), pixels), expected, rtol=1e-4, atol=1e-5
    )


def test_a_network_whose_answers_are_random_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from samplerzoo_plugins import transformers_features
    from transformers import ViTMAEConfig, ViTMAEModel

    spec = transformers_folder(tmp_path / "mae", ViTMAEModel(ViTMAEConfig(**VIT)))
    monkeypatch.setattr(transformers_features, "_unmasked", lambda net: lambda count: {})
    with pytest.raises(ZooError, match="two answers to the same images differ: ViTMAEModel is random"):
        features(spec, torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8))


def test_an_image_processor_in_a_processor_of_images_and_text(tmp_path: Path) -> None:
    from transformers import ViTMSNConfig, ViTMSNModel

    spec = transformers_folder(tmp_path / "msn", ViTMSNModel(ViTMSNConfig(**VIT)))
    pixels = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    expected = features(spec, pixels)
    alone = tmp_path / "msn" / "preprocessor_config.json"
    nested = {"image_processor": json.loads(alone.read_text()), "processor_class": "CLIPProcessor"}
    (tmp_path / "msn" / "processor_config.json").write_text(json.dumps(nested))
    alone.unlink()
    np.testing.assert_array_equal(features(spec, pixels), expected)
    assert "processor_config.json" in parse_features(spec).id
    (tmp_path / "msn" / "processor_config.json").unlink()
    with pytest.raises(ZooError, match=r"no preprocessor_config.json or processor_config.json; save"):
        features(spec, pixels)


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("config.json", {"hidden_size": 100_000}, "weights do not fit config.json"),
        ("config.json", {"num_hidden_layers": 10**6}, "weights do not fit config.json"),
        ("config.json", {"mlp_ratio": 10**8}, "weights do not fit config.json"),
        ("config.json", {"image_size": 2**16}, "weights do not fit config.json"),
        ("config.json", {"num_labels": 10**6}, "weights do not fit config.json: num_labels is 1000000"),
        ("config.json", {"image_size": 2**60}, "its config makes no network"),
        ("preprocessor_config.json", {"size": {"shortest_edge": 20_000}}, "shortest_edge is 20000, and images are"),
        ("preprocessor_config.json", {"size": 20_000}, "size is 20000, and images are prepared to 1024 at most"),
        ("preprocessor_config.json", {"crop_size": {"height": 9000, "width": 2}}, "height is 9000, and images are"),
    ],
)
def test_a_folder_does_not_decide_how_much_memory_is_taken(
    dinov2: Path, tmp_path: Path, file: str, content: dict[str, object], told: str
) -> None:
    import json
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(dinov2, copy)
    (copy / file).write_text(json.dumps({**json.loads((copy / file).read_text()), **content}))
    with pytest.raises(ZooError, match=told):
        parse_features(f"hf:{copy}").load("cpu")
