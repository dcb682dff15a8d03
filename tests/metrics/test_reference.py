from __future__ import annotations

import os
import shlex
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from samplerzoo.cli import main
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.metrics import reference
from samplerzoo.metrics.distance_estimate import estimate_distance
from samplerzoo.metrics.feature_files import Rows
from samplerzoo.metrics.frechet import FeatureMoments, frechet_distance
from samplerzoo.metrics.names import parse_features
from samplerzoo.metrics.reference import NoFloor, Reference, floor

PIXELS = parse_features("pixels")
TABLE = np.random.default_rng(0).normal(size=(90, 4)).astype(np.float32)
LABELS = np.arange(90) % 3


def made(sample_size: int = 30, table: np.ndarray = TABLE) -> Reference:
    parts = [(table[start : start + 25], LABELS[start : start + 25]) for start in range(0, 90, 25)]
    return reference.make_reference(parts, PIXELS.id, "data", sample_size=sample_size)


def saved(found: Reference, path: Path) -> Reference:
    reference.save_reference(found, path)
    return reference.load_reference(str(path), PIXELS)


def test_a_file_holds_all_of_it(tmp_path: Path) -> None:
    path = tmp_path / "ref.safetensors"
    there, back = made(), saved(made(), path)
    np.testing.assert_array_equal(back.mean, there.mean)
    np.testing.assert_array_equal(back.covariance, there.covariance)
    np.testing.assert_allclose(back.mean, TABLE.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(back.covariance, np.cov(TABLE, rowvar=False), rtol=1e-6)
    assert (back.count, back.class_counts, back.name, len(back.id)) == (90, (30, 30, 30), "ref.safetensors", 16)
    np.testing.assert_allclose(back.sample, there.sample, atol=2e-3)  # half precision
    np.testing.assert_array_equal(back.sample_labels, there.sample_labels)


def test_the_same_images_make_the_same_file(tmp_path: Path) -> None:
    ids = {saved(made(), tmp_path / f"{number}.safetensors").id for number in range(4)}
    assert len(ids) == 1


def test_the_sample_is_of_the_rows_with_their_labels_and_all_if_there_is_room() -> None:
    found = made()
    where = [int(np.flatnonzero((row == TABLE).all(axis=1))[0]) for row in found.sample]
    assert where == sorted(set(where))
    np.testing.assert_array_equal(found.sample_labels, LABELS[where])
    np.testing.assert_array_equal(made(1000).sample, TABLE)
    assert len(made(0).sample) == 0


def test_it_does_not_depend_on_how_the_rows_are_cut(tmp_path: Path) -> None:
    whole = reference.make_reference([(TABLE, LABELS)], PIXELS.id, "data", sample_size=30)
    assert saved(whole, tmp_path / "whole.safetensors").id == saved(made(), tmp_path / "parts.safetensors").id


def test_every_row_is_as_likely_in_the_sample() -> None:
    table = np.repeat(np.arange(90, dtype=np.float32)[:, None], 2, axis=1)
    parts = [(table[:7], None), (table[7:], None)]
    seen = Counter(
        int(row[0])
        for seed in range(300)
        for row in reference.make_reference(parts, "id", "x", sample_size=30, seed=seed).sample
    )
    assert min(seen.values()) > 60
    assert max(seen.values()) < 145  # 100 of 300, give or take 5.5 standard deviations


def test_values_that_half_precision_would_spoil_are_kept(tmp_path: Path) -> None:
    for number, table in enumerate((TABLE * 1e6, TABLE * 1e-3 + 100)):
        found = made(table=table.astype(np.float32))
        np.testing.assert_array_equal(saved(found, tmp_path / f"{number}.safetensors").sample, found.sample)


def test_some_labels_and_not_others_are_refused() -> None:
    with pytest.raises(ZooError, match="only 50 of 90 images have labels"):
        reference.make_reference([(TABLE[:50], LABELS[:50]), (TABLE[50:], None)], "id", "x")


# -- pytorch-fid's form


def test_npz_is_pytorch_fids_form(tmp_path: Path) -> None:
    reference.save_reference(made(), tmp_path / "ref.npz")
    with np.load(tmp_path / "ref.npz") as content:
        assert set(content) == {"mu", "sigma"}
        np.testing.assert_array_equal(content["mu"], made().mean)
    back = reference.load_reference(str(tmp_path / "ref.npz"), PIXELS)
    assert frechet_distance(back, made()) == pytest.approx(0, abs=1e-9)
    assert (back.count, back.sample, back.features_id) == (None, None, None)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ({"mean": np.zeros(2), "cov": np.eye(2)}, "it has mean, cov"),
        ({}, "it has nothing"),
        ({"mu": np.zeros(2), "sigma": np.zeros((3, 3))}, r"shapes \(2,\) and \(3, 3\) are not .*"),
    ],
)
def test_another_npz_is_refused(tmp_path: Path, content: dict[str, np.ndarray], why: str) -> None:
    np.savez(tmp_path / "x.npz", **content)
    way_out = "make a reference of the images with `samplerzoo ref make`"
    with pytest.raises(ZooError, match=rf"x\.npz: not a file of pytorch-fid, with mu and sigma: {why}; {way_out}$"):
        reference.load_reference(str(tmp_path / "x.npz"), PIXELS)


# -- what cannot be used


def test_broken_files_are_named(tmp_path: Path) -> None:
    for suffix in ("safetensors", "npz"):
        path = tmp_path / f"x.{suffix}"
        path.write_bytes(b"nothing")
        with pytest.raises(ZooError, match=f"x.{suffix}: not "):
            reference.load_reference(str(path), PIXELS)


def test_a_reference_of_other_features_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ZooError, match="made with other features"):
        saved(replace(made(), features_id="others"), tmp_path / "ref.safetensors")


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"features pixels have no reference 'train'; they have: none"):
        reference.load_reference("train", PIXELS)
    with pytest.raises(UsageError, match=r"no file .*absent\.npz"):
        reference.load_reference(str(tmp_path / "absent.npz"), PIXELS)
    with pytest.raises(UsageError, match=r"a reference is a \.safetensors file"):
        reference.save_reference(made(), tmp_path / "ref.pt")


def test_a_save_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ref.npz"
    old = saved(made(), path).id

    def full(*_: object, **__: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        reference.save_reference(made(5), path)
    assert reference.load_reference(str(path), PIXELS).id == old
    assert [each.name for each in tmp_path.iterdir()] == ["ref.npz"]


# -- the floor


def test_the_floor_is_of_as_many_real_images_with_these_very_labels() -> None:
    """Use features that are the class, so that the distance of a subset depends on its class counts only."""
    table = np.eye(3, dtype=np.float32)[LABELS]
    test, train = made(90, table), made(0, table)
    mixed = [0] * 6 + [1] * 3 + [2]
    exact = frechet_distance(FeatureMoments.of(np.eye(3)[mixed]), train)
    assert floor(test, train, mixed, 10).plain == pytest.approx(exact, rel=1e-9)
    assert floor(test, train, [0, 1, 2] * 4, 12).plain < exact / 10


def test_the_floor_falls_with_the_count_and_is_always_the_same() -> None:
    test, train = made(90), made(0)
    few, many = (floor(test, train, None, n).plain for n in (10, 80))
    assert few > many > 0
    assert floor(test, train, None, 10).plain == few


def test_the_floor_is_an_estimate_as_that_of_images() -> None:
    """Estimate it of all test images, which is the only choice: as the images that it is the floor of are estimated."""
    test, train = made(90), made(0)
    found, expected = (
        floor(test, train, LABELS.tolist(), 90),
        estimate_distance(Rows([TABLE]), FeatureMoments.of(TABLE), LABELS, train.distance),
    )
    assert found.jackknifed == pytest.approx(expected.jackknifed, rel=1e-6)
    assert found.error == pytest.approx(expected.error, rel=1e-6)
    assert found.jackknifed < found.plain


@pytest.mark.parametrize(
    ("sample", "labels", "n", "reason"),
    [
        (30, None, 31, "keeps a sample of 30 images, not of 31"),
        (90, [1] * 31, 31, "keeps 30 images of class 1, not 31"),
        (90, [7], 1, "keeps 0 images of class 7, not 1"),
    ],
)
def test_a_floor_that_cannot_be_told_says_why(sample: int, labels: list[int] | None, n: int, reason: str) -> None:
    with pytest.raises(NoFloor, match=reason):
        floor(made(sample), made(), labels, n)


def test_there_is_no_floor_without_a_sample_without_labels_or_against_itself(tmp_path: Path) -> None:
    one = saved(made(), tmp_path / "ref.safetensors")
    with pytest.raises(NoFloor, match="is the reference itself"):
        floor(one, one, None, 5)
    with pytest.raises(NoFloor, match="has no labels"):
        floor(replace(made(), sample_labels=None), one, [0, 1], 2)
    with pytest.raises(NoFloor, match="keeps no sample"):
        floor(replace(made(), sample=None), one, None, 5)


@pytest.mark.parametrize("plain", [True, False])
def test_what_a_missing_reference_advises_works(
    plain: bool, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(toy, tmp_path / "my toy")
    features = "pixels" if plain else f"classifier:{tmp_path / 'my toy'}"
    words = ["eval", "--fake", "digits", "--features", features, "--real"]
    assert main([*words, "mine"]) == 2
    error = capsys.readouterr().err
    advised = error.split("`")[1].replace("DATA", "digits")
    assert main(shlex.split(advised)[1:]) == 0
    assert main([*words, "mine.safetensors" if plain else "mine"]) == 0
