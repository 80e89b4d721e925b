"""The page in a real browser: headless Chromium, driven by Playwright."""

import re
import shutil

import pytest

from featx.reporting.page import report
from tests.exploration.test_map_page import make_exploration

from .conftest import Folder
from .test_page import EVIL

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser):
    """Open a file; complain of any message on the console and of any request."""
    contexts, complaints = [], []

    def open_page(path, width=1280, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        for event in ("console", "pageerror", "dialog"):
            page.on(event, lambda found: complaints.append(str(found)))
        address = path.resolve().as_uri()

        def check(request):
            if not request.url.startswith("data:") and request.url.split("#")[0] != address:
                complaints.append(f"request {request.url}")

        page.on("request", check)
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_and_every_figure_is_drawn(folder, visit, width, scheme):
    page = visit(report(folder.write()), width, scheme)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # The box of what is drawn inside each figure that is shown.
    boxes = page.evaluate(
        """Array.from(document.querySelectorAll('svg.plot')).filter(s => s.checkVisibility())
        .map(s => { const b = s.getBBox(), o = s.getBoundingClientRect();
            return [b.width / s.viewBox.baseVal.width, b.height / s.viewBox.baseVal.height,
                    o.width, o.right, s.querySelectorAll('svg path, svg rect').length]; })"""
    )
    assert len(boxes) >= 10
    for across, up, drawn, right, parts in boxes:
        assert 0.8 < across <= 1.1 and 0.8 < up <= 1.1
        assert drawn > 200 and right <= width
        assert parts > 0
    assert page.evaluate("Array.from(document.images).map(i => i.naturalWidth)") == [20, 20]


def contrast(page, selector):
    """Contrast of an element's text with the page, after WCAG 2."""
    return page.evaluate(
        """selector => {
        const light = color => { const [r, g, b] = color.match(/[\\d.]+/g).map(v => {
            v = v / 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
            return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
        const element = document.querySelector(selector), style = getComputedStyle(element);
        const ink = element.ownerSVGElement ? style.fill : style.color;
        const a = light(ink), b = light(getComputedStyle(document.body).backgroundColor);
        return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05); }""",
        selector,
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_lines_stand_out(folder, visit, scheme):
    page = visit(report(folder.write()), scheme=scheme)
    for selector in ("h1", ".hint", "a", "td small", "tr.control td", ".plot text", "figcaption"):
        assert contrast(page, selector) >= 4.5, selector
    page.evaluate(
        """document.querySelector('.plot').insertAdjacentHTML('beforeend',
        [0, 1, 2, 3, 4, 5].map(n => `<path class="point c${n}" id="mark${n}"/>`).join(''))"""
    )
    for number in range(6):
        assert contrast(page, f"#mark{number}") >= 3, number


def test_columns_sort_by_mouse_and_keyboard(folder, visit):
    folder.rows[1]["f1"] = None
    page = visit(report(folder.write()))
    table = page.locator("#table table").first
    heading = table.locator("th", has_text="AUC").first

    def order():
        return table.locator("tbody th").all_inner_texts()

    names = ["resnet50, svm", "histogram, logistic (control)", "ramirez-cnn (baseline)"]
    assert order() == names
    heading.locator("button").click()
    areas = table.locator("tbody td:nth-child(3)").evaluate_all(
        "cells => cells.map(cell => Number(cell.dataset.order))"
    )
    assert areas == sorted((row["auc"] for row in folder.rows), reverse=True)
    assert heading.get_attribute("aria-sort") == "descending"
    heading.locator("button").focus()
    page.keyboard.press("Enter")
    assert heading.get_attribute("aria-sort") == "ascending"
    column = table.locator("thead th", has_text="F1").locator("button")
    for _ in range(2):
        column.click()
        assert order()[-1] == names[1], "what has no value stays last"
    assert heading.get_attribute("aria-sort") == "none"
    page.get_by_role("button", name="#").first.click()
    assert order() == names


def test_the_reader_chooses_what_is_drawn(tmp_path, visit):
    folder = Folder(tmp_path / "results")
    for number, classifier in enumerate(("svm", "logistic", "xgboost")):
        folder.add("resnet50", classifier, auc_out_of_fold=0.9 - number / 10)
    page = visit(report(folder.write()))
    curves = page.locator(".panel svg.plot").first.locator("[data-row]")
    shown = "parts => parts.map(part => getComputedStyle(part).display !== 'none')"
    assert curves.evaluate_all(shown) == [True, False, False]
    page.get_by_role("checkbox", name="resnet50, xgboost").check()
    page.get_by_role("checkbox", name="resnet50, svm").uncheck()
    assert curves.evaluate_all(shown) == [False, False, True]
    assert page.locator(".matrices caption").locator("visible=true").all_inner_texts() == [
        "resnet50, xgboost"
    ]


def test_paper_shows_what_was_closed(folder, visit):
    page = visit(report(folder.write()))
    assert page.locator("table.checklist").first.is_hidden()
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator("table.checklist").first.is_visible()
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.locator("table.checklist").first.is_hidden()
    sizes = re.findall(rb"/MediaBox \[0 0 (\d+)[\d.]* (\d+)", page.pdf(prefer_css_page_size=True))
    assert {int(width) > int(height) for width, height in sizes} == {True, False}


# Width of A4 in pixels, without margins: upright, and on its side for tables of many columns.
@pytest.mark.parametrize(
    ("width", "within"), [(688, "table:not(.many), svg, img, pre"), (1017, "*")]
)
def test_nothing_is_cut_on_paper(folder, visit, width, within):
    page = visit(report(folder.write()), width)
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    right = page.locator(f"main :is({within})").evaluate_all(
        "found => Math.max(...found.filter(e => e.checkVisibility())"
        ".map(e => e.getBoundingClientRect().right))"
    )
    assert 0 < right <= width


def test_hostile_names_do_nothing(tmp_path, visit):
    folder = Folder(tmp_path / "results", class_names=("NORMAL", EVIL))
    folder.add(EVIL, "svm", auc_out_of_fold=0.9)
    folder.picture(path=EVIL)
    page = visit(report(folder.write(command=EVIL, notes=[EVIL])), 390)
    assert EVIL in page.locator("h1").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_table_wider_than_the_window_says_so(folder, visit):
    page = visit(report(folder.write()), 390)
    hint = "p => getComputedStyle(p, '::before').content"
    assert "Scroll sideways" in page.locator("#table .scroll").first.evaluate(hint)
    page.set_viewport_size({"width": 1280, "height": 800})
    page.wait_for_function("!document.querySelector('#table .scroll').hasAttribute('data-wide')")


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_a_matrix_can_be_explored(tmp_path, visit, width, scheme):
    page = visit(make_exploration().save(tmp_path / "explore.html"), width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    painted = """Array.from(document.getElementById('map').getContext('2d')
        .getImageData(0, 0, 300, 200).data).filter(v => v > 0).length"""
    assert page.evaluate(painted) > 0
    page.locator(".pick").first.click()
    chosen = page.locator("#chosen")
    assert f"a/{EVIL}2.png" in chosen.inner_text()
    assert chosen.locator("button").count() == 3
    chosen.locator("button").first.click()
    assert f"a/{EVIL}2.png" not in chosen.locator(".path").first.inner_text()
    for way in ("score", "split", "patient", "issue"):
        page.locator("#color").select_option(way)
    assert "label issue 1" in page.locator("#legend").inner_text()
    page.locator("#map").focus()
    page.keyboard.press("+")
    page.locator("#find").fill("5.png")
    assert page.locator("#matches button").all_inner_texts() == [f"a/{EVIL}5.png"]
    page.locator("#matches button").click()
    assert f"a/{EVIL}5.png" in chosen.inner_text()
    box = page.locator("#map").bounding_box()
    for step in range(1, 20):
        page.mouse.move(box["x"] + box["width"] * step / 20, box["y"] + box["height"] / 2)
    page.locator("#whole").click()
