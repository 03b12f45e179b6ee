"""A page taken apart by Python's own HTML parser, as a browser would see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "img", "path", "rect", "circle", "br"}


@dataclass
class Element:
    """One element: its attributes, its text with that of its children, and the names of the
    elements that it lies in."""

    tag: str
    attributes: dict
    inside: tuple[str, ...]
    text: str = ""


@dataclass
class Page(HTMLParser):
    """``elements`` in order; ``tables``: name → rows of [(value, low or maximum, high) as texts of
    the cells' data]."""

    elements: list[Element] = field(default_factory=list)
    tables: dict = field(default_factory=dict)

    def __post_init__(self):
        super().__init__(convert_charrefs=True)
        self._open: list[Element] = []
        self._table: list | None = None

    def handle_starttag(self, tag, attrs):
        element = Element(tag, dict(attrs), tuple(e.tag for e in self._open))
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)
        if tag == "table":
            self._table = self.tables.setdefault(
                element.attributes["id"].removeprefix("table-"), []
            )
        elif tag == "tr" and "tbody" in element.inside:
            self._table.append([])
        elif tag in ("td", "th") and "tbody" in element.inside:
            data = element.attributes
            self._table[-1].append(
                (
                    data.get("data-value"),
                    data.get("data-low", data.get("data-maximum")),
                    data.get("data-high"),
                )
            )

    def handle_startendtag(self, tag, attrs):
        self.elements.append(Element(tag, dict(attrs), tuple(e.tag for e in self._open)))

    def handle_endtag(self, tag):
        assert self._open, f"</{tag}> closes nothing"
        assert self._open[-1].tag == tag, f"</{tag}> closes <{self._open[-1].tag}>"
        self._open.pop()

    def handle_data(self, data):
        for element in self._open:
            element.text += data

    def all(self, tag: str) -> list[Element]:
        """Every element of a name."""
        return [e for e in self.elements if e.tag == tag]


def parse(html: str) -> Page:
    """A page; fails where elements are not closed as they were opened."""
    page = Page()
    page.feed(html)
    page.close()
    assert not page._open, [e.tag for e in page._open]
    return page
