"""The report in a real browser: Debian's chromium, headless, driven by Selenium."""

from __future__ import annotations

import base64
import json
import shutil
import warnings

import pytest

from tests.toolchain.report.synthetic import EVIL, write_run
from toolchain.report import page

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
SWITCHES = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-prefers-reduced-motion",
    "--window-size=1200,900",
)
COLOURS = """
const shown = (element) => element.checkVisibility() && element.getBoundingClientRect().width > 0;
const ground = (element) => {
  for (let part = element; part; part = part.parentElement) {
    const colour = getComputedStyle(part).backgroundColor;
    if (!colour.endsWith(", 0)")) return colour;
  }
};
const texts = "p, li, h1, h2, h3, td, th, figcaption, summary, a, dt, dd, .ci, th button, svg text";
const colour = (e) => getComputedStyle(e)[e instanceof SVGElement ? "fill" : "color"];
return [...document.querySelectorAll(texts)]
  .filter(shown)
  .map((e) => [`${e.tagName} ${e.getAttribute("class")}`, colour(e), ground(e)]);
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A page on disk, with names that try to be HTML."""
    folder = tmp_path_factory.mktemp("browser")
    write_run(folder / "run")
    page.write(folder / "run", folder / "report.html")
    return folder / "report.html"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    """A browser of its own profile, which keeps what the network was asked for."""
    if not (CHROMIUM and DRIVER):
        pytest.skip("needs chromium and chromedriver (Debian: chromium, chromium-driver)")
    webdriver = pytest.importorskip(
        "selenium.webdriver", reason="needs Selenium: pip install spikeport[test]"
    )
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for switch in (*SWITCHES, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_page_load_timeout(60)
    yield driver
    driver.quit()


@pytest.fixture
def opened(chromium, report):
    """The page, freshly opened; at the end the console must be empty."""
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    chromium.get(report.as_uri())
    yield chromium
    assert chromium.get_log("browser") == []


def find(driver, selector):
    return driver.find_element("css selector", selector)


def column(driver, table, key):
    """The exact values of a column, as they stand on the page; None where there is none."""
    return driver.execute_script(
        "const table = document.getElementById(arguments[0]);"
        "const at = [...table.tHead.rows[0].cells].findIndex((head) => head.dataset.key === "
        "arguments[1]);"
        "return [...table.tBodies[0].rows].map((row) => row.cells[at].dataset.value ?? null)",
        f"table-{table}",
        key,
    )


def test_it_opens_without_a_word_on_the_console_and_asks_for_nothing(opened, report):
    opened.get_log("performance")  # what the browser's own first page asked for
    opened.get(report.as_uri())
    asked = [json.loads(entry["message"])["message"] for entry in opened.get_log("performance")]
    urls = {
        m["params"]["request"]["url"] for m in asked if m["method"] == "Network.requestWillBeSent"
    }
    assert {url for url in urls if not url.startswith("data:")} == {report.as_uri()}
    assert (
        opened.execute_script(
            "return performance.getEntriesByType('resource').filter((e) => "
            "!e.name.startsWith('data:')).length"
        )
        == 0
    )
    assert opened.execute_script(
        "return [...document.images].every((image) => image.complete && image.naturalWidth > 0)"
    )


def test_names_are_text_and_scripts_of_others_do_not_run(chromium, report):
    chromium.get(report.as_uri())
    assert EVIL in find(chromium, "#answer").text
    assert chromium.execute_script("return document.scripts.length") == 1
    chromium.get_log("browser")
    chromium.execute_script(
        "const script = document.createElement('script'); script.textContent = 'window.pwned = 1'; "
        "document.body.append(script);"
        "const image = new Image(); image.src = 'https://example.org/x.png'; "
        "document.body.append(image);"
    )
    assert chromium.execute_script("return window.pwned") is None
    blocked = " ".join(entry["message"] for entry in chromium.get_log("browser"))
    assert "script-src" in blocked
    assert "img-src" in blocked


def test_a_table_is_sorted_by_click(opened):
    find(opened, "#curves summary").click()
    head = find(opened, "#table-attacks th[data-key=attacked_accuracy]")
    before = column(opened, "attacks", "attacked_accuracy")
    rows = len(before)
    head.find_element("css selector", "button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    rising = [float(v) for v in column(opened, "attacks", "attacked_accuracy")]
    assert rising == sorted(map(float, before)) != [float(v) for v in before]
    head.find_element("css selector", "button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert [float(v) for v in column(opened, "attacks", "attacked_accuracy")] == rising[::-1]
    name = find(opened, "#table-attacks th[data-key=attack]")
    name.find_element("css selector", "button").click()
    assert head.get_attribute("aria-sort") is None
    texts = column(opened, "attacks", "attack")
    assert texts == sorted(texts, key=str.lower)
    assert len(texts) == rows


def test_a_table_is_sorted_by_keyboard_and_says_so(opened):
    from selenium.webdriver.common.keys import Keys

    button = find(opened, "#table-summary th[data-key=target_minus_software] button")
    opened.execute_script("arguments[0].focus()", button)
    button.send_keys(Keys.ENTER)
    head = find(opened, "#table-summary th[data-key=target_minus_software]")
    assert head.get_attribute("aria-sort") == "ascending"
    values = column(opened, "summary", "target_minus_software")
    numbers = [float(v) for v in values if v is not None]
    assert numbers == sorted(numbers)
    # software has none against itself, and Lava of two networks only repeats it
    assert values[len(numbers) :] == [None] * 5
    button.send_keys(Keys.SPACE)
    assert head.get_attribute("aria-sort") == "descending"
    assert column(opened, "summary", "target_minus_software")[len(numbers) :] == [None] * 5
    assert opened.execute_script("return document.activeElement === arguments[0]", button)
    assert (
        find(opened, "#said").get_property("textContent")
        == "Sorted by against software (points), descending"
    )


def test_a_mark_says_its_values_under_the_mouse(opened):
    from selenium.webdriver import ActionChains

    tip = find(opened, "#tip")
    assert not tip.is_displayed()
    mark = opened.find_elements("css selector", "#plot-pareto-title ~ .mark")[0]
    shape = mark.find_element("css selector", ".ring, .solid")
    opened.execute_script(
        "arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", shape
    )
    ActionChains(opened).move_to_element(shape).perform()
    assert tip.is_displayed()
    assert mark.get_attribute("aria-label") in tip.text
    assert "µJ" in tip.text or "nJ" in tip.text
    ActionChains(opened).move_to_element(find(opened, "#pareto h2")).perform()
    assert not tip.is_displayed()


def test_marks_are_reached_by_keyboard(opened):
    from selenium.webdriver.common.keys import Keys

    marks = opened.find_elements("css selector", "#plot-curves-title ~ .mark")
    assert [m.get_attribute("tabindex") for m in marks].count("0") == 1  # one stop for the Tab key
    opened.execute_script("arguments[0].focus()", marks[0])
    tip = find(opened, "#tip")
    assert tip.text == marks[0].get_attribute("aria-label")
    marks[0].send_keys(Keys.ARROW_RIGHT)
    active = opened.switch_to.active_element
    assert active.get_attribute("aria-label") == marks[1].get_attribute("aria-label") == tip.text
    active.send_keys(Keys.ARROW_LEFT)
    opened.switch_to.active_element.send_keys(Keys.ARROW_UP)
    assert opened.switch_to.active_element.get_attribute("aria-label") == marks[-1].get_attribute(
        "aria-label"
    )
    opened.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert not tip.is_displayed()


def luminance(colour: str) -> float:
    """Relative luminance of rgb(…), as WCAG 2 defines it."""
    parts = [float(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_are_readable(opened, scheme, tmp_path):
    opened.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
    )
    ground = opened.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (luminance(ground) > 0.5) == (scheme == "light")
    texts = opened.execute_script(COLOURS)
    assert len(texts) > 300
    for what, colour, behind in texts:
        dark, bright = sorted((luminance(colour), luminance(behind)))
        assert (bright + 0.05) / (dark + 0.05) >= 4.5, (what, colour, behind)
    assert opened.save_screenshot(str(tmp_path / "page.png"))
    assert (tmp_path / "page.png").stat().st_size > 20_000


def test_print_unfolds_everything_and_puts_the_tables_last(opened):
    folded = "return [...document.querySelectorAll('details')].map((d) => d.open)"
    before = opened.execute_script("return document.querySelector('main').innerHTML")
    opened.execute_script("dispatchEvent(new Event('beforeprint'))")
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert opened.execute_script(
        "return [...document.querySelectorAll('details:not(.more)')].every((d) => d.open)"
    )
    assert opened.execute_script(
        "return [...document.querySelectorAll('details.numbers')].every((d) => "
        "d.closest('#appendix'))"
    )
    assert find(opened, "#table-attacks").is_displayed()
    assert not find(opened, "nav").is_displayed()
    assert (
        luminance(opened.execute_script("return getComputedStyle(document.body).backgroundColor"))
        == 1.0
    )
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    opened.execute_script("dispatchEvent(new Event('afterprint'))")
    assert (
        opened.execute_script(
            "return document.querySelector('main').innerHTML.replaceAll('<!---->', '')"
        )
        == before
    )
    assert not any(opened.execute_script(folded))


def test_it_prints(opened):
    printed = opened.execute_cdp_cmd(
        "Page.printToPDF", {"printBackground": True, "preferCSSPageSize": True}
    )
    content = base64.b64decode(printed["data"])
    assert content.startswith(b"%PDF-")
    assert content.count(b"/Type /Page\n") > 8
    assert not find(opened, "#appendix").is_displayed()


@pytest.fixture
def width(opened):
    """Sets the width of the window."""

    def set_width(pixels):
        metrics = {"width": pixels, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        opened.execute_script(
            "document.querySelectorAll('details').forEach((part) => { part.open = true; })"
        )

    yield set_width
    opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


WIDER = (
    "return [...document.querySelectorAll('.scroll:has(table)')]"
    ".filter((part) => part.scrollWidth > part.clientWidth)"
    ".map((part) => part.firstElementChild.id)"
)
"""Tables that are wider than the page."""


def test_every_table_fits_a_window_of_1200_pixels(opened, width):
    width(1200)
    assert opened.execute_script(WIDER) == []


def test_in_a_narrow_window_rows_are_cards_and_the_page_does_not_scroll_sideways(opened, width):
    width(380)
    assert opened.execute_script("return document.documentElement.scrollWidth") <= 380
    assert opened.execute_script(WIDER) == []
    cell = find(opened, "#table-summary td[data-label='samples']")
    shown = opened.execute_script("return getComputedStyle(arguments[0], '::before').content", cell)
    assert shown == '"samples"'
