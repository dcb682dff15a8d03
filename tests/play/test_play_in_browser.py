"""Page in a real browser, with a small model and a user's plugin: every tab, and no request to another host."""

from __future__ import annotations

import contextlib
import gc
import re
import shlex
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import folders
import numpy as np
import pytest

from samplerzoo import registry
from samplerzoo.cli import main
from samplerzoo.images import grid, read_png
from samplerzoo.report.gallery import blocks

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
pytest.importorskip("gradio", reason="pip install 'samplerzoo[play]'")
differ = pytest.importorskip("samplerzoo.play.versus").differ
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no browser: apt-get install chromium"),
    pytest.mark.filterwarnings("ignore"),  # of gradio and of its server
]

PLUGIN = '''
import time
from samplerzoo import Field, Sampler


class Slow(Sampler):
    """Slow steps straight to the prediction."""

    pause: float = Field(0.0, ge=0.0, le=2.0, description="seconds that a step takes")
    bold: bool = Field(False, description="a field of two values")
    size: int = Field(3, ge=1, description="a field without an upper bound")

    def step(self, x, t, s, denoise, noise):
        time.sleep(self.pause)
        p = denoise(x, t)
        return s.alpha * p.x0 + s.sigma * p.eps
'''


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the page; nothing that it does may connect to another machine."""
    from samplerzoo.play.page import LOCAL, page
    from samplerzoo.play.studio import Studio

    folder = tmp_path_factory.mktemp("play")
    (folder / "slow.py").write_text(PLUGIN)
    model = folders.ddpm(folder / "model", classes=3)
    reached, connect = [], socket.socket.connect

    def noted(mine: socket.socket, place: Any) -> None:
        if mine.family != socket.AF_UNIX:
            reached.append(place[0])
        connect(mine, place)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        patch.setattr(socket.socket, "connect", noted)
        patch.setattr(registry, "_files", {})
        registry.load_file(folder / "slow.py")
        blocks = page(Studio.open(str(model), device="cpu", plugins=[str(folder / "slow.py")]))
        _, url, _ = blocks.launch(server_name="127.0.0.1", prevent_thread_lock=True, **LOCAL)
        yield url
        blocks.close()
    del blocks
    gc.collect()  # what gradio's server leaves open, while warnings of it are ignored
    assert {*reached} <= {"127.0.0.1"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def tab(browser: Any, address: str) -> Iterator[Any]:
    """Open the page; no request may leave it, and no script may fail."""
    opened = browser.new_page(viewport={"width": 1200, "height": 900})
    opened.set_default_timeout(20_000)
    requests, faults = [], []
    opened.on("request", lambda request: requests.append(request.url))
    opened.on("pageerror", lambda fault: faults.append(str(fault)))
    opened.goto(address)
    opened.get_by_label("eta").first.wait_for()
    yield opened
    assert [url for url in requests if not url.startswith((address, "data:", "blob:"))] == []
    assert faults == []
    opened.close()


def choose(tab: Any, label: str, option: str) -> None:
    """Choose in the visible dropdown of this label."""
    box = tab.locator(f"input[aria-label='{label}']:visible").first
    box.click()
    box.fill(option)
    tab.get_by_role("option", name=option, exact=True).click()


def press(tab: Any, name: str) -> None:
    tab.locator(f"button:visible:text-is('{name}')").click()


def type_in(tab: Any, label: str, value: str) -> None:
    named = tab.locator("label:visible", has=tab.locator(f"span:text-is('{label}')"))
    named.first.locator("input, textarea").first.fill(value)


def shown(tab: Any) -> str:
    """Return the command lines on the tab that is open, without the line numbers of the editor."""
    return str(tab.locator(".cm-content:visible").first.inner_text())


def pasted(tab: Any, folder: Path) -> list[Path]:
    """Run the command lines that the open tab shows, each in a folder of its own, and return the folders."""
    places = []
    for number, line in enumerate(shown(tab).splitlines()):
        program, *words = shlex.split(line)
        assert program == "samplerzoo"
        places.append(folder / str(number))
        places[-1].mkdir(parents=True)
        with contextlib.chdir(places[-1]):
            assert main([*words, "--device", "cpu"]) == 0, line
    return places


THREE_PICTURES = """() => {
    const seen = [...document.images].filter(it => it.offsetParent)
    return seen.length === 3 && seen.every(it => it.complete && it.naturalWidth)
}"""
"""Three pictures are on the page, and none is broken."""


def made(place: Path, count: int) -> np.ndarray:
    """Return the images of a run that a command made in a folder, (N, H, W, C)."""
    (run,) = place.glob("**/run.json")
    return np.stack([read_png(run.parent / "images" / f"{number:06d}.png")[0] for number in range(count)])


def test_one_setting_is_drawn_and_looked_back_on(tab: Any, tmp_path: Path) -> None:
    type_in(tab, "steps", "4")
    press(tab, "Draw")
    tab.get_by_text("16 images in 4 steps: 4 network evaluations an image").wait_for()
    assert re.match(r"samplerzoo run --model \S+ --sampler ddim --steps 4 .*--num-images 16", shown(tab))
    tab.get_by_text("after step 4 of 4: clean").wait_for()
    tab.wait_for_function(THREE_PICTURES)
    before = tab.locator("img:visible").nth(1).get_attribute("src")
    tab.get_by_label("number input for step", exact=True).fill("1")
    tab.keyboard.press("Enter")
    tab.get_by_text("after step 1 of 4: timestep").wait_for()
    playwright.expect(tab.locator("img:visible").nth(1)).not_to_have_attribute("src", before)
    (place,) = pasted(tab, tmp_path)
    with tab.expect_download() as kept:
        tab.locator(".picture:visible [aria-label='Download'], .picture:visible a[download]").first.click()
    labels = [number % 3 for number in range(16)]
    np.testing.assert_array_equal(read_png(kept.value.path())[0], np.asarray(grid(made(place, 16), labels)))


def test_a_plugin_of_ones_own_has_its_controls_and_can_be_stopped(tab: Any) -> None:
    choose(tab, "sampler", "slow")
    tab.get_by_label("bold").wait_for()
    tab.get_by_label("number input for pause", exact=True).fill("0.5")
    tab.keyboard.press("Tab")
    tab.get_by_label("bold").check()
    type_in(tab, "steps", "40")
    press(tab, "Draw")
    tab.get_by_text("step 2 of 40").wait_for()
    assert "--sampler slow --pause 0.5 --bold --steps 40" in shown(tab)
    assert "slow.py" in shown(tab)
    tab.locator("img:visible").first.wait_for()  # the prediction, long before the end
    press(tab, "Stop")
    time.sleep(1.1)
    stopped = tab.locator("text=/^step \\d+ of 40$/").inner_text()
    time.sleep(1.1)
    assert tab.locator("text=/^step \\d+ of 40$/").inner_text() == stopped
    choose(tab, "sampler", "ddim")
    type_in(tab, "steps", "2")
    press(tab, "Draw")
    tab.get_by_text("16 images in 2 steps").wait_for()


def test_an_error_is_one_line_on_the_page(tab: Any) -> None:
    choose(tab, "guidance", "cfg")
    tab.get_by_label("guidance scale").first.wait_for()
    press(tab, "Draw")
    tab.get_by_text("cfg needs a null label").wait_for()


def test_two_settings_are_compared_from_the_same_noise(tab: Any, tmp_path: Path) -> None:
    tab.get_by_role("tab", name="A/B").click()
    press(tab, "Compare")
    tab.get_by_text("They differ by").wait_for()
    assert tab.get_by_text("9 images in 10 steps: 10 network evaluations an image").count() == 2
    first, second = shown(tab).splitlines()
    assert "--sampler ddim" in first
    assert "--sampler ddpm" in second
    playwright.expect(tab.locator("img:visible")).to_have_count(3)  # two below the slider, and the difference
    a, b = (made(place, 9).astype(float) for place in pasted(tab, tmp_path))
    assert differ(a, b) in tab.locator("p:visible", has_text="They differ by").inner_text()


def test_any_two_options_are_the_axes_of_a_grid(tab: Any, tmp_path: Path) -> None:
    tab.get_by_role("tab", name="Grid").click()
    choose(tab, "rows", "eta")
    type_in(tab, "values of the rows", "0, 1")
    type_in(tab, "values of the columns", "1, 2, 3")
    press(tab, "Draw")
    tab.get_by_text("6 cells of 2 images").wait_for()
    lines = shown(tab).splitlines()
    assert [re.findall(r"--eta (\S+) --steps (\S+)", line) for line in lines] == [
        [(eta, steps)] for eta in "01" for steps in "123"
    ]
    with tab.expect_download() as kept:
        tab.locator(".picture:visible [aria-label='Download'], .picture:visible a[download]").first.click()
    cells = {divmod(number, 3): made(place, 2) for number, place in enumerate(pasted(tab, tmp_path))}
    sheet = blocks(cells, ["eta 0", "eta 1"], ["1 step", "2 steps", "3 steps"])
    np.testing.assert_array_equal(read_png(kept.value.path())[0], np.asarray(sheet))


def test_points_of_a_plane_move(tab: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tab.get_by_role("tab", name="Path").click()
    press(tab, "Move")
    tab.get_by_text("points end at a mode").wait_for()
    film = tab.locator("svg[role=img]")
    film.evaluate("it => it.pauseAnimations()")

    def places(seconds: float) -> list[float]:
        film.evaluate("(it, seconds) => it.setCurrentTime(seconds)", seconds)
        return film.evaluate("it => [...it.querySelectorAll('circle:has(animate)')].map(at => at.cx.animVal.value)")

    start, end, still = places(0), places(5), places(5.9)
    assert len(start) == 2 * 24 + 1
    assert sum(abs(a - b) > 1 for a, b in zip(start[::2], end[::2], strict=True)) > 12  # some move up and down alone
    assert end == still
    verdict = tab.locator("p:visible", has_text="points end at a mode").inner_text()
    moves = film.evaluate("it => [...it.querySelectorAll('animate')].map(at => at.getAttribute('values'))")
    (place,) = pasted(tab, tmp_path)
    assert verdict in capsys.readouterr().out
    assert re.findall(r"<animate [^>]*values='([^']*)'", (place / "show.svg").read_text()) == moves
