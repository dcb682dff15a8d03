"""Any input is answered: with exit code 0, 1 or 2, in one line where it is not 0, in time and in moderate memory.

Inputs are valid ones with a few changes, so that many reach the work. SAMPLERZOO_FUZZ=20000 tries so many of them, new
ones each time, in place of a few that are always the same.
"""

from __future__ import annotations

import copy
import io
import itertools
import json
import os
import resource
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from samplerzoo import images
from samplerzoo.cli import main

NUMBER = int(os.environ.get("SAMPLERZOO_FUZZ", "0"))
SECONDS, MEMORY = 30, 6 * 2**30
"""Most that an input may take, beyond what the process has already."""

VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2, 3, 10, 0.5, 1.0, -0.5, 1e-9, 1e9, 1e300, 10**6, 10**12, 2**64, -(2**70), 10**400,
    "", "a",
    "0", "1.5", "nan", "balanced", "natural", "0-2", "static:1.0", "dynamic:0.9", "trailing", "karras", "scheduler",
    "leading",
    "float32", "epsilon", "v_prediction", "sample", "linear", "scaled_linear", "exp", "ddim", "ddpm", "heun", "unipc",
    "cfg",
    "classifier", "mnist", "pixels", "gaussian", "owner/repo", "../x", "/dev/null", "~nobody/x", "a" * 3000,
    "\x1b[2J", "$x^$",
    "<script>", "|", "\ud800", "\x00", "\n# x", "猫", [], [1], [0.5, 1.0], ["a"], [[1]], {}, {"a": 1}, {"": {}},
]  # fmt: skip
"""Values that are put in the place of others, valid in some place and hostile in others."""


def value_like(random: Random, old: Any) -> Any:
    """Draw a value to put in the place of another: often one of its kind."""
    if random.random() < 0.5:
        if isinstance(old, bool):
            return not old
        if isinstance(old, int):
            near = float(old) if abs(old) < 2**64 else -1.0
            return random.choice([old + 1, old - 1, -old, 2 * old, old * 10**6, near, str(old)])
        if isinstance(old, float):
            return random.choice([old / 2, 1.5 * old, -old, old + 1, old * 1e12, round(old), str(old)])
        if isinstance(old, str):
            return random.choice([old[: len(old) // 2], old * 2, old.upper(), old + "\n", f" {old}", old.swapcase()])
        if isinstance(old, list):
            return random.choice([old[1:], old * 2, old[::-1], [*old, None]])
    return copy.deepcopy(random.choice(VALUES))


def changed(random: Random, content: Any) -> Any:
    """Change a few places of a JSON value, or none."""
    content = copy.deepcopy(content)
    for _ in range(random.choice([0, 0, 1, 1, 1, 2])):
        here: Any = content
        while True:
            keys = [*here] if isinstance(here, dict) else [*range(len(here))] if isinstance(here, list) else []
            if not keys:
                break
            key = random.choice(keys)
            if isinstance(here[key], (dict, list)) and here[key] and random.random() < 0.8:
                here = here[key]
                continue
            match random.random():
                case chance if chance < 0.15:
                    del here[key]
                case chance if chance < 0.25 and isinstance(here, dict):
                    here[random.choice(["extra", "../x", "", "a" * 2000, key + "2"])] = value_like(random, here[key])
                case _:
                    here[key] = value_like(random, here[key])
            break
    return content


def written(random: Random, content: Any) -> bytes:
    """Write JSON; sometimes broken as files are broken."""
    text = json.dumps(content).encode()
    if random.random() > 0.15:
        return text
    return random.choice([
        b"\xef\xbb\xbf" + text, text[: random.randrange(len(text) + 1)], b"", b"[" * 3000, text.replace(b": 1",
        b": NaN"),
        spoiled(random, text), text.replace(b"0", b"9" * 5000, 1), b"[" + text + b"]",
    ])  # fmt: skip


def spoiled(random: Random, raw: bytes) -> bytes:
    """Flip a bit, or cut the end off."""
    if not raw or random.random() < 0.5:
        return raw[: random.randrange(len(raw) + 1)]
    place = random.randrange(min(len(raw), 4000))
    return raw[:place] + bytes([raw[place] ^ 1 << random.randrange(8)]) + raw[place + 1 :]


class Fuzzed:
    """Place with one valid thing of every kind, and a function for each kind that changes one and uses it."""

    def __init__(self, root: Path, tiny_unet: Callable[..., Any]) -> None:
        self.root = root
        self.count, self.reached = 0, Counter[str]()
        self.tried = Counter[str]()
        self._make_model(tiny_unet)
        assert self.answer("run", *self.small_run(), "-o", "run")[0] == 0
        assert self.answer("ref", "make", "run", "--features", "pixels", "-o", "ref.safetensors")[0] == 0
        assert self.answer("ref", "make", "run", "--features", "pixels", "-o", "ref.npz")[0] == 0
        assert self.answer(*self.bench(), "--seeds", "0,1", "--steps", "1,2", "-o", "bench")[0] == 0
        assert self.answer("train", *TRAINING, "--max-train-steps", "1")[0] == 0
        assert self.answer("bench", *ERRORS, "--steps", "1,2", "-o", "errors")[0] == 0
        assert self.answer("bench", "--model", "gaussian", "--sampler", "ddim", "--steps", "2,5", "-o", "exact")[0] == 0
        for name in ("model", "bench", "train", "errors", "exact"):
            shutil.copytree(name, f"kept-{name}")
        self.pixels, self.metadata = images.read_png(Path("run/images/000001.png"))
        self.rows = {
            name: [json.loads(line) for line in Path(name, "results.jsonl").read_text().splitlines()]
            for name in ("bench", "errors", "exact")
        }
        for row in itertools.chain(*self.rows.values()):
            del row["digest"]  # which would refuse all that is changed
        with np.load("ref.npz") as content:
            self.moments = {name: content[name] for name in ("mu", "sigma")}

    def _make_model(self, tiny_unet: Callable[..., Any]) -> None:
        from diffusers import DDPMScheduler

        from samplerzoo.models.configs import ModelInfo
        from samplerzoo.models.load import save_model

        info = ModelInfo(num_classes=3, null_label=3, class_counts=[1, 2, 1], class_names=["cat", "dog", "gnu"])
        save_model(Path("model"), tiny_unet(num_class_embeds=4), DDPMScheduler(clip_sample=False), info, "# tiny\n")

    def small_run(self) -> list[str]:
        return ["--model", "model", "--steps", "2", "--num-images", "2", "--device", "cpu", "--dtype", "float32"]

    def bench(self) -> list[str]:
        return ["bench", "--model", "model", "--features", "pixels", "--reference", "ref.safetensors", "--sampler",
        "ddim",
                "--images", "3", "--device", "cpu", "--dtype", "float32"]  # fmt: skip

    def answer(self, *words: str) -> tuple[int, str]:
        """Run a command line, and check how it is answered."""
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err), limited():
            code = main([*words])
        told = err.getvalue()
        assert code in (0, 1, 2), (code, told)
        errors = [line for line in told.splitlines() if line.startswith("samplerzoo: error: ")]
        assert len(errors) == (code != 0), told
        assert "Traceback" not in told
        assert "out of memory" not in told, told
        assert len(told) < 20_000, told[:2000]
        shown = out.getvalue() + told
        assert all(letter.isprintable() or letter in "\n\t\r\u3000\xa0" for letter in shown), repr(shown)
        return code, told

    def lines(self, random: Random) -> int:
        """Change words of a command line."""
        words = random.choice([
            ["run", *self.small_run(), "--dry-run", "--sampler", "ddim", "--eta", "0.5", "--seed", "3"],
            ["run", *self.small_run(), "--dry-run", "--guidance", "cfg", "--guidance-scale", "2", "--class-labels",
            "0-2"],
            ["timesteps", "--steps", "5", "--spacing", "trailing", "--beta-schedule", "linear"],
            [*self.bench(), "--steps", "1,2", "--eta", "0,0.5", "--dry-run", "-o", "nowhere"],
            ["info", "ddim"], ["list", "--json"], ["compare", "bench", "bench"],
            ["eval", "--fake", "run", "--real", "ref.safetensors", "--features", "pixels", "--num-images", "2"],
        ])  # fmt: skip
        for _ in range(random.choice([0, 0, 1, 1, 2])):
            place = random.randrange(1, len(words)) if len(words) > 1 else 0
            match random.random():
                case chance if chance < 0.2:
                    del words[place]
                case chance if chance < 0.3:
                    words.insert(place, random.choice(words))
                case _ if place:
                    drawn = value_like(random, words[place])
                    words[place] = drawn if isinstance(drawn, str) else str(drawn)[:5000]
        return self.answer(*words)[0]

    def suites(self, random: Random) -> int:
        suite = {
            "model": "model", "features": "pixels", "reference": "ref.safetensors", "steps": [1, 2], "images": 3,
            "seeds": [0, 1],
            "dtype": "float32",
            "rows": [{"sampler": "ddim", "eta": [0.0, 1.0]}, {"sampler": "ddpm", "guidance": "cfg",
            "guidance_scale": 2.0}],
        }  # fmt: skip
        text = _toml(changed(random, suite)).encode("utf-8", "surrogatepass")
        Path("suite.toml").write_bytes(spoiled(random, text) if random.random() < 0.1 else text)
        return self.answer("bench", "suite.toml", "--dry-run", "--device", "cpu", "-o", "nowhere")[0]

    def folders(self, random: Random) -> int:
        shutil.rmtree("model")
        shutil.copytree("kept-model", "model")
        name = random.choice([
            "model_index.json", "samplerzoo.json", "unet/config.json", "scheduler/scheduler_config.json",
            "scheduler/scheduler_config.json", "unet/diffusion_pytorch_model.safetensors",
        ])  # fmt: skip
        file = Path("model", name)
        if name.endswith(".json"):
            kept = json.loads(file.read_text())
            kind = random.choice(["", "", *SCHEDULERS]) if name.startswith("scheduler") else ""
            kept = {**kept, **({"_class_name": kind, **SCHEDULERS[kind]} if kind else {})}
            file.write_bytes(written(random, changed(random, kept)))
        else:
            file.write_bytes(spoiled(random, file.read_bytes()))
        code, _ = self.answer("run", *self.small_run(), "--overwrite", "-o", "out")
        shutil.rmtree("model")
        shutil.copytree("kept-model", "model")
        return code

    def pictures(self, random: Random) -> int:
        metadata = changed(random, self.metadata)
        if random.random() < 0.9 and isinstance(metadata, dict):
            images.save_png(images.picture(self.pixels), Path("it.png"), metadata)
        else:
            raw = Path("run/images/000001.png").read_bytes()
            Path("it.png").write_bytes(spoiled(random, raw))
        return self.answer("rerun", "it.png", "--device", "cpu", "-o", "again.png")[0]

    def references(self, random: Random) -> int:
        name = random.choice(["ref.npz", "ref.safetensors"])
        raw = Path(name).read_bytes()
        if name == "ref.npz" and random.random() < 0.7:
            moments = {key: _array(random, value) for key, value in self.moments.items()}
            np.savez("it.npz", **moments)
        else:
            Path(f"it{Path(name).suffix}").write_bytes(raw if random.random() < 0.2 else spoiled(random, raw))
        words = ["eval", "--fake", "run", "--real", f"it{Path(name).suffix}", "--features", "pixels", "--device", "cpu"]
        return self.answer(*words)[0]

    def results(self, random: Random) -> int:
        folder = random.choice([*self.rows])
        rows = [changed(random, row) if random.random() < 0.5 else row for row in self.rows[folder]]
        Path(folder, "results.jsonl").write_bytes(
            b"\n".join(written(random, row) for row in rows) + b"\n" * random.choice([0, 1])
        )
        code, _ = self.answer(
            *random.choice([["compare", folder, f"kept-{folder}"], ["compare", folder], ["report", folder]])
        )
        return code

    def manifests(self, random: Random) -> int:
        shutil.rmtree("it", ignore_errors=True)
        shutil.copytree("run", "it")
        name = random.choice(["manifest.jsonl", "run.json"])
        lines = [json.loads(line) for line in Path("it", name).read_text().splitlines()] if name != "run.json" else [
            json.loads(Path("it", name).read_text())
        ]  # fmt: skip
        Path("it", name).write_bytes(b"\n".join(written(random, changed(random, line)) for line in lines))
        if name == "run.json":
            return self.answer("run", *self.small_run(), "--resume", "-o", "it")[0]
        return self.answer("eval", "--fake", "it", "--real", "ref.npz", "--features", "pixels", "--device", "cpu")[0]

    def checkpoints(self, random: Random) -> int:
        shutil.rmtree("train")
        shutil.copytree("kept-train", "train")
        folder = Path("train/checkpoints/checkpoint-0000001")
        name = random.choice(sorted(path.name for path in folder.iterdir()))
        file = folder / name
        if name.endswith(".json") and random.random() < 0.7:
            file.write_bytes(written(random, changed(random, json.loads(file.read_text()))))
        else:
            file.write_bytes(spoiled(random, file.read_bytes()))
        named = random.choice(["latest", str(folder)])
        return self.answer("train", *TRAINING, "--max-train-steps", "1", "--resume-from-checkpoint", named)[0]


ERRORS = "--model exact:digits --metrics error --sampler ddim --images 4 --device cpu --dtype float32".split()

TRAINING = ["--dataset", "digits", "--output-dir", "train", "--block-out-channels", "8,8", "--layers-per-block", "1",
            "--attention-levels", "0", "--eval-images", "1", "--eval-steps", "1", "--classes", "0,1",
            "--train-batch-size", "8", "--mixed-precision", "no"]  # fmt: skip

SCHEDULERS: dict[str, dict[str, Any]] = {
    "DDIMScheduler": {"thresholding": True, "sample_max_value": 1.5, "beta_schedule": "scaled_linear"},
    "FlowMatchEulerDiscreteScheduler": {"shift": 3.0, "use_dynamic_shifting": True, "base_shift": 0.5,
    "max_shift": 1.15,
                                        "shift_terminal": 0.1, "time_shift_type": "exponential"},
    "EDMEulerScheduler": {"sigma_min": 0.002, "sigma_max": 80.0, "sigma_data": 0.5, "rho": 7.0,
    "sigma_schedule": "karras"},
    "LCMScheduler": {"original_inference_steps": 50, "timestep_scaling": 10.0},
    "CMStochasticIterativeScheduler": {"sigma_min": 0.002, "sigma_max": 80.0, "num_train_timesteps": 40},
}  # fmt: skip
WEIGHTS = {
    "lines": 5,
    "suites": 3,
    "folders": 4,
    "pictures": 4,
    "references": 3,
    "results": 3,
    "manifests": 2,
    "checkpoints": 1,
}
"""How often each kind is tried: those that take their time, less often."""


def _array(random: Random, array: Any) -> Any:
    match random.randrange(10):
        case 0:
            return array * random.choice([0, -1, 1e300, np.nan, np.inf])
        case 1:
            return array[: random.randrange(len(array))]
        case 2:
            return array.astype(random.choice([np.float16, np.int32, np.complex64, "U4", bool]))
        case 3:
            return array + random.choice([0.5, np.triu(np.ones_like(array)) if array.ndim == 2 else 1.0])
        case _:
            return array


def _toml(content: Any) -> str:
    """Write TOML, as far as it can hold this."""
    rows = content.pop("rows", []) if isinstance(content, dict) else []
    lines = [f"{json.dumps(key)} = {_value(value)}" for key, value in content.items()]
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return "\n".join([*lines, f"rows = {_value(rows)}"])
    for row in rows:
        lines += ["[[rows]]", *(f"{json.dumps(key)} = {_value(value)}" for key, value in row.items())]
    return "\n".join(lines)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_value(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return "nan" if value is None else json.dumps(value)


@contextmanager
def limited() -> Iterator[None]:
    """Bound time and memory of an input: beyond them it fails."""

    def late(number: int, frame: Any) -> None:
        raise TimeoutError(f"more than {SECONDS} s")

    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, hard))
    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory, tiny_unet: Callable[..., Any]) -> Iterator[Fuzzed]:
    root = tmp_path_factory.mktemp("fuzz")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        yield Fuzzed(root, tiny_unet)


@pytest.mark.filterwarnings("ignore")
def test_any_input_is_answered(fuzzed: Fuzzed) -> None:
    each = max(NUMBER // sum(WEIGHTS.values()), 1) if NUMBER else 2
    for kind, weight in WEIGHTS.items():
        try_kind(fuzzed, kind, each * weight)
    told = {kind: f"{fuzzed.reached[kind]} of {fuzzed.tried[kind]}" for kind in WEIGHTS}
    print(f"reached the work: {told}", file=sys.stderr)
    assert 3 * fuzzed.reached.total() >= fuzzed.tried.total(), told


def try_kind(fuzzed: Fuzzed, kind: str, number: int) -> None:
    @settings(
        max_examples=number, deadline=None, derandomize=not NUMBER, database=None,
        suppress_health_check=[*HealthCheck], report_multiple_bugs=False,
    )  # fmt: skip
    @given(st.randoms(use_true_random=True))
    def attempt(random: Random) -> None:
        fuzzed.tried[kind] += 1
        fuzzed.reached[kind] += getattr(fuzzed, kind)(random) == 0

    attempt()
