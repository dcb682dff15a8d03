"""File names that look like glob patterns, and labels that look like numbers or missing values."""

import io

import pandas as pd
import pytest
from PIL import Image

from samplerzoo.data.image_sets import load_images
from samplerzoo.data.options import DataOptions


def _png(value: int) -> bytes:
    out = io.BytesIO()
    Image.new("L", (8, 8), value).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("name", ["q[1].parquet", "q*.parquet"])
def test_a_name_is_no_pattern(tmp_path, monkeypatch, name):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    for file in ("q[1].parquet", "q*.parquet", "q2.parquet"):
        cells = [{"bytes": _png(i), "path": None} for i in range(4)]
        pd.DataFrame({"image": cells, "label": [0, 1] * 2}).to_parquet(tmp_path / file)
    assert len(load_images(DataOptions(dataset=str(tmp_path / name)))) == 4


def test_labels_of_metadata_keep_their_text(tmp_path):
    for i in range(2):
        (tmp_path / f"{i}.png").write_bytes(_png(i))
    (tmp_path / "metadata.jsonl").write_text('{"file_name":"0.png","label":"01"}\n{"file_name":"1.png","label":"1"}\n')
    assert load_images(DataOptions(dataset=str(tmp_path))).num_classes == 2
    (tmp_path / "metadata.jsonl").unlink()
    (tmp_path / "metadata.csv").write_text("file_name,label\n0.png,NA\n1.png,FR\n")
    assert load_images(DataOptions(dataset=str(tmp_path))).class_names == ("FR", "NA")
