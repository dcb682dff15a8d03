"""Choice of device and dtype by the capabilities of the machine."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from samplerzoo.errors import UsageError

# imported here, before the fixture `float32_by_default` replaces native_bfloat16
from samplerzoo.system.environment import choose_device, choose_dtype, devices, native_bfloat16


@pytest.mark.parametrize(("capability", "native"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_a_gpu_computes_bfloat16_from_capability_8(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], native: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": not native}, raising=False)
    assert native_bfloat16("cuda:1") is native


@pytest.mark.parametrize(
    ("capabilities", "native"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, True),
        ({"avx512_bf16": False, "amx_bf16": True}, True),
        ({"avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, False),
        ({"architecture": "aarch64", "bf16": True, "sve_bf16": True}, False),
    ],
)
def test_a_cpu_computes_bfloat16_by_its_instructions_and_onednn(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, object], native: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: not native, raising=False)
    for onednn in (True, False):
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda onednn=onednn: onednn)
        assert native_bfloat16("cpu") is (native and onednn)
    assert not native_bfloat16("mps")


def missing() -> bool:
    """Raise the error of a function of torch.cpu that the compiled library lacks."""
    raise AttributeError("module 'torch._C._cpu' has no attribute '_is_amx_tile_supported'")


@pytest.mark.parametrize(
    ("avx512", "amx", "native"),
    [
        (lambda: True, None, True),
        (lambda: False, lambda: True, True),
        (lambda: False, missing, False),
        (None, None, False),
    ],
)
def test_an_older_torch_is_asked_by_its_private_names_if_it_has_them(
    monkeypatch: pytest.MonkeyPatch, avx512: Callable[[], bool] | None, amx: Callable[[], bool] | None, native: bool
) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    for name, answer in (("_is_avx512_bf16_supported", avx512), ("_is_amx_tile_supported", amx)):
        monkeypatch.delattr(torch.cpu, name, raising=False)
        if answer is not None:
            monkeypatch.setattr(torch.cpu, name, answer, raising=False)
    assert native_bfloat16("cpu") is native


@pytest.mark.parametrize(("native", "auto"), [(True, "bfloat16"), (False, "float32")])
def test_auto_follows_the_device_and_an_explicit_dtype_wins(
    monkeypatch: pytest.MonkeyPatch, native: bool, auto: str
) -> None:
    monkeypatch.setattr("samplerzoo.system.environment.native_bfloat16", lambda device: native)
    assert choose_dtype("auto", "cpu") == auto
    for dtype in ("float32", "bfloat16", "float16"):
        assert choose_dtype(dtype, "cpu") == dtype
    with pytest.raises(UsageError, match="unknown dtype 'float64'"):
        choose_dtype("float64", "cpu")


def test_an_unknown_device_is_refused() -> None:
    assert choose_device("cpu") == "cpu"
    there = ", ".join(devices())
    for name in ("abacus", "cuda:99", "meta", "", "cpu:x"):
        with pytest.raises(UsageError, match=f"device '{name}' is none that computes here; there (is|are): {there}$"):
            choose_device(name)
