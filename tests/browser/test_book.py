"""The rendered book as a reader meets it: every page in Chromium, from the disk, on a desk and on a phone.

`make test-browser` runs this after `make book`; `make test` does not: it needs a built book and a browser.
BOOK names another book's folder of pages, CHROMIUM another browser.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from bs4 import BeautifulSoup
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[2]
BOOK = Path(os.environ.get("BOOK", ROOT / "_build" / "smoke" / "_build" / "html")).resolve()
AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
# As root in a container; and nothing of the browser's own asks for a network.
SWITCHES = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
SCREENS = {"desk": {"width": 1400, "height": 900}, "phone": {"width": 390, "height": 844}}


def pages() -> list[str]:
    """Every page that the table of contents names, and the search page; an error where one was not built."""
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text())
    chapters = [chapter["file"] for part in contents["parts"] for chapter in part["chapters"]]
    names = [f"{name}.html" for name in (contents["root"], *chapters, "search")]
    missing = [name for name in names if not (BOOK / name).is_file()]
    if missing:
        raise FileNotFoundError(f"{BOOK} has no {', '.join(missing)}: build the book first (make book).")
    return names


PAGES = pages()


@pytest.fixture(scope="session")
def chromium():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        yield browser
        browser.close()


@pytest.fixture(params=SCREENS)
def screen(request, chromium):
    """Open pages of the book on a screen; at the end, none of them may have said or asked for anything."""
    context = chromium.new_context(viewport=SCREENS[request.param], has_touch=request.param == "phone")
    context.set_default_timeout(15_000)
    complaints = []

    def visit(name: str, question: str = "") -> Page:
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text) if loud(message) else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: complaints.append(request.url) if leaves(request.url) else None)
        page.on("requestfailed", lambda request: complaints.append(f"{request.url} failed"))
        page.goto((BOOK / name).as_uri() + question)
        return page

    yield visit
    context.close()
    assert not complaints


def loud(message) -> bool:
    return message.type in ("error", "warning")


def leaves(address: str) -> bool:
    return urlsplit(address).scheme not in ("file", "data", "blob")


@pytest.mark.parametrize("name", PAGES)
def test_everybody_can_read_a_page(screen, name):
    """axe finds nothing, in either theme; nothing is wider than the screen but in a scroller that says so."""
    page = screen(name)
    page.add_script_tag(path=AXE)
    open_all(page)
    for theme in ("light", "dark"):
        page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
        page.wait_for_timeout(
            400
        )  # colours fade from one theme to the other; the theme looks at scrollers again
        found = page.evaluate(
            "standards => axe.run({runOnly: standards, resultTypes: ['violations'], preload: false})",
            STANDARDS,
        )
        assert len(found["passes"]) > 10
        assert [said(violation) for violation in found["violations"]] == [], theme
    assert page.evaluate(TOO_WIDE) == []


def said(violation: dict) -> str:
    places = [f"{' '.join(node['target'])}: {node['html'][:200]}" for node in violation["nodes"][:3]]
    return f"{violation['id']} ({len(violation['nodes'])} times): {'; '.join(places)}"


def open_all(page: Page) -> None:
    """Unfold what is folded, so that it is looked at too."""
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")


# What reaches beyond the screen, but for what lies in a box that scrolls, that the keyboard reaches and that
# shows where there is more.
TOO_WIDE = """() => {
  const width = document.documentElement.clientWidth;
  const marked = box => box.tabIndex === 0 && (box.classList.contains('tlb-more') || box.scrollLeft > 0);
  const scrolls = box => ['auto', 'scroll'].includes(getComputedStyle(box).overflowX);
  const inScroller = one => {
    const box = one.parentElement;
    return box !== null && ((scrolls(box) && marked(box)) || inScroller(box));
  };
  const found = [...document.querySelectorAll('main *, header *')].filter(one => {
    const place = one.getBoundingClientRect();
    return one.checkVisibility({visibilityProperty: true}) && place.width > 1 && place.right > width + 1
      && !inScroller(one);
  });
  if (document.scrollingElement.scrollWidth > width) found.push(document.body);
  return found.slice(0, 5).map(one => one.outerHTML.slice(0, 200));
}"""


@pytest.mark.parametrize("screen", ["desk"], indirect=True)
@pytest.mark.parametrize("name", [name for name in PAGES if name.startswith("notebooks/")])
def test_tabs_and_sliders_by_keyboard(screen, name):
    """Every choice that is visible can be moved by the arrow keys, and what it shows moves with it."""
    page = screen(name)
    moved = 0
    for group in page.locator(".tlb:has(> .tlb-radio:nth-of-type(2))").all():
        first = group.locator("> .tlb-radio").first
        if not group.is_visible():
            continue
        first.focus()
        page.keyboard.press("ArrowRight")
        shown = [panel.is_visible() for panel in group.locator("> .tlb-panels > .tlb-panel").all()]
        assert shown == [False, True, *[False] * (len(shown) - 2)]
        page.keyboard.press("ArrowLeft")
        moved += 1
    for slider in page.locator("input[type=range]").all():
        if not slider.is_visible() or slider.get_attribute("max") == "0":
            continue
        frames = slider.locator("xpath=ancestor::*[contains(@class, 'tlb')][2]").locator("> .tlb-frames > *")
        before = slider.get_attribute("aria-valuetext")
        slider.focus()
        page.keyboard.press("ArrowRight")
        assert slider.get_attribute("aria-valuetext") != before
        assert [frame.is_visible() for frame in frames.all()].index(True) == 1
        moved += 1
    assert moved or not page.locator(".tlb-radio:nth-of-type(2), input[type=range]").count()


def test_search_finds_pages_from_the_disk(screen):
    page = screen("search.html", "?q=barrier")
    page.wait_for_selector("#search-results ul.search li a")
    addresses = [link.get_attribute("href") for link in page.locator("ul.search li a").all()]
    assert any("03_loss_landscape" in address for address in addresses)
    page.goto((BOOK / PAGES[0]).as_uri())
    page.keyboard.press("Control+k")
    page.keyboard.type("checkpoint")
    page.keyboard.press("Enter")
    page.wait_for_selector("#search-results ul.search li a")


def test_links_anchors_and_citations_lead_somewhere():
    """Inside the book to a page and an id that exist; outside to an address that is one."""
    ids = {}

    def ids_of(path: Path) -> set[str]:
        if path not in ids:
            soup = BeautifulSoup(path.read_text(), "html.parser")
            ids[path] = {one["id"] for one in soup.find_all(id=True)}
        return ids[path]

    followed = outside = cited = 0
    for name in PAGES:
        path = BOOK / name
        for link in BeautifulSoup(path.read_text(), "html.parser").find_all("a", href=True):
            address = urlsplit(link["href"])
            if address.scheme:
                assert address.scheme in ("https", "mailto") and (address.netloc or address.path), link
                outside += 1
                cited += address.netloc == "doi.org"
                continue
            target = (path.parent / unquote(address.path)).resolve() if address.path else path
            assert target.is_file(), f"{name}: {link['href']}"
            if address.fragment and target.suffix == ".html":
                assert unquote(address.fragment) in ids_of(target), f"{name}: {link['href']}"
            followed += 1
    assert followed > 100 and outside > 10 and cited > 10
