"""The page in a real browser: who hears what, a round step by step, by keyboard too, light and dark, without a network.

Chromium is the machine's; where there is none the tests are skipped, and fail where the variable CI is set.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import antiphon
from antiphon.coordinator.plan.compile import compile_schedule
from antiphon.coordinator.plan.placement import locate, spread
from antiphon.pictures.counts import counts
from antiphon.pictures.of_grammar import picture_of
from antiphon.pictures.story import story_of

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@pytest.fixture(scope="module")
def browser() -> Iterator:
    found = shutil.which("chromium")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("no chromium on this machine: install the system's package `chromium`")
        pytest.skip("no chromium on this machine; the system's package `chromium` brings it")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=found, args=list(FLAGS))
        yield running
        running.close()


class Opened:
    """A page that is open, with everything that it said and asked for."""

    def __init__(self, browser, path: Path, **options) -> None:
        self.page = browser.new_page(viewport={"width": 1400, "height": 900}, **options)
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())

    def ids(self, name: str) -> set[str]:
        """Of the marks that have this class."""
        return set(self.page.eval_on_selector_all(f".mark.{name}", "found => found.map(each => each.dataset.id)"))

    def step(self) -> str:
        return self.page.inner_text("#count")


@pytest.fixture
def opened(browser, tmp_path):
    pages: list[Opened] = []

    def open_page(grammar, **options) -> Opened:
        path = antiphon.draw(grammar).save(tmp_path / "page.html")
        pages.append(Opened(browser, path, **options))
        return pages[-1]

    yield open_page
    for each in pages:
        each.page.close()
        assert each.said == []
        assert [url for url in each.asked if not url.startswith(("file:", "data:"))] == []


HEARS = {"R deliver Forger", "R Forger *", "R minus, into Forger", "R Curator#2 *", "R L *", "R d L"}
NEEDS = {"Q Forger", "Q Curator#2", "Q Curator", "Q L", "Q Noise.sample", "Q Environment.sample"}
PLAYS = {"Q plays Forger", "Q plays Curator"}


def test_pointing_at_a_player_lights_what_it_hears_and_all_that_this_depends_on(opened, gan):
    it = opened(gan)
    it.page.hover('[data-id="Q plays Forger"]')
    assert it.ids("lit") == HEARS | NEEDS | PLAYS
    assert it.ids("fed") == {"Q plays Forger", "Q Forger", "Q Curator#2", "Q L", "R deliver Forger"}
    assert it.page.inner_text("#said").startswith("player Forger plays θ [10]")
    opacity = "each => getComputedStyle(each).opacity"
    assert it.page.eval_on_selector('[data-id="R Curator *"]', opacity) == "0.18"
    assert it.page.eval_on_selector('[data-id="R Curator#2 *"]', opacity) == "1"
    it.page.mouse.move(2, 2)
    assert it.ids("lit") == set()


def test_a_player_is_reached_and_lit_by_keyboard(opened, gan):
    it = opened(gan)
    focused = "document.activeElement.dataset.id"
    for _ in range(12):
        it.page.keyboard.press("Tab")
        if it.page.evaluate(focused) == "R deliver Forger":
            break
    assert it.page.evaluate(focused) == "R deliver Forger"
    assert it.ids("lit") == HEARS | NEEDS | PLAYS


def test_the_slider_plays_the_schedule_queries_first(opened, gan):
    it = opened(gan)
    schedule = compile_schedule(gan, spread(gan))
    last = len(schedule.steps)
    it.page.focus("#step")
    phases, seen = [], []
    for number in range(1, last + 1):
        it.page.keyboard.press("ArrowRight")
        assert it.step() == f"{number} / {last}"
        phases.append(it.page.inner_text("#said").split(":")[0])
        seen.append(it.ids("now"))
        acting = it.page.eval_on_selector_all("#workers .acts", "found => found.map(each => each.textContent)")
        step = schedule.steps[number - 1]
        assert acting == [getattr(step, "worker", None) or step.edge.source]  # pyright: ignore
    assert phases == [step.phase.name.lower() for step in schedule.steps]
    assert phases == sorted(phases, key=["query", "response", "move"].index)
    assert all(seen)
    assert seen[0] == {"Q Environment.sample"}
    assert seen[-1] == {"Q plays Curator", "R deliver Curator"}
    it.page.keyboard.press("Home")
    assert it.step() == f"0 / {last}" and it.ids("now") == set()


def test_buttons_go_back_on_and_by_themselves(opened, gan):
    it = opened(gan)
    it.page.click("#on")
    it.page.click("#on")
    it.page.click("#back")
    assert it.step().startswith("1 /")
    it.page.focus("#play")
    it.page.keyboard.press("Enter")
    assert it.page.inner_text("#play") == "pause"
    it.page.wait_for_function("document.getElementById('count').value.startsWith('2 /')")
    it.page.keyboard.press("Enter")
    assert it.page.inner_text("#play") == "play"


def test_light_and_dark(opened, gan):
    colour = "each => getComputedStyle(each).backgroundColor"
    light = opened(gan, color_scheme="light").page.eval_on_selector("#picture", colour)
    dark = opened(gan, color_scheme="dark").page.eval_on_selector("#picture", colour)
    assert (light, dark) == ("rgb(255, 255, 255)", "rgb(23, 26, 32)")


def test_the_table_is_beside_it_and_takes_other_rows(opened, browser, gan, tmp_path):
    it = opened(gan)
    rows = it.page.eval_on_selector_all("table tr", "found => found.map(each => each.innerText.split('\\t'))")
    assert rows == [list(row) for row in counts(gan)]
    assert ["messages of R", "3"] in rows
    path = antiphon.draw(gan, rows=[("bytes", "12 & more")]).save(tmp_path / "other.html")
    assert Opened(browser, path).page.inner_text("td") == "12 & more"


@pytest.mark.parametrize("name", ["gan", "broadcast", "five", "deep", "dac"])
def test_the_browser_too_finds_no_label_on_a_mark_or_another_label(opened, makers, name):
    """The boxes as Chromium measures what it drew, against our own arithmetic."""
    it = opened(makers[name]())
    it.page.check("#actual")
    found = it.page.evaluate(
        """() => {
          const parts = [...document.querySelectorAll(".mark, .label")];
          const boxes = parts.map(part => part.getBoundingClientRect());
          const names = parts.map(part => `${part.getAttribute("class")} ${part.dataset.id}`);
          const met = [];
          for (let i = 0; i < parts.length; i++) for (let j = 0; j < i; j++) {
            const [a, b] = [boxes[i], boxes[j]];
            const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
            const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
            if (wide > 2 && high > 2) met.push([names[i], names[j]]);
          }
          return met;
        }"""
    )
    assert found == []


def test_every_step_of_every_grammar_moves_something_that_is_drawn(anyone):
    picture = picture_of(anyone)
    drawn = {item.id for side in picture.sides for item in (*side.marks, *side.arrows)}
    story = story_of(anyone, picture)
    for scene in story.scenes:
        assert scene.lights and set(scene.lights) <= drawn, scene
        assert set(scene.workers) <= set(story.workers)
        assert len(scene.workers) in (1, 2)
    arrows = {arrow.id for side in picture.sides for arrow in side.arrows if arrow.line != "cut"}
    assert arrows <= {each for scene in story.scenes for each in scene.lights}


def test_what_travels_is_drawn_to_its_receiver_alone(anyone):
    picture = picture_of(anyone)
    arrows = {arrow.id: arrow for side in picture.sides for arrow in side.arrows}
    homes = locate(anyone, spread(anyone))
    for scene in story_of(anyone, picture).scenes:
        if len(scene.workers) == 2:
            lit = [arrows[each] for each in scene.lights if each in arrows]
            assert lit
            if scene.phase == "query":
                assert {homes[arrow.target.removeprefix("Q ")] for arrow in lit} == {scene.workers[1]}
