"""Plots of a page as files of their own: SVG that needs no stylesheet, and PDF.

On a page, colours and strokes come from its stylesheet. Here they are written into each element, in
the colours of the light page, so that every program that reads SVG draws the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from xml.etree import ElementTree

from hardware.parameters import parameter
from toolchain.errors import OutputError

SVG = "http://www.w3.org/2000/svg"
_GONE = ("class", "tabindex", "role", "aria-label", "aria-labelledby", "aria-hidden")
_FONT = "DejaVu Sans, Noto Sans, Helvetica, Arial, sans-serif"

Style = dict[str, str]


def _rules() -> tuple[Style, list[tuple[str, frozenset[str], Style]]]:
    """(variables of the light page, (tag, classes, declarations) of every rule for plots)."""
    text = resources.files("toolchain.pages").joinpath("style.css").read_text(encoding="utf-8")
    text = re.sub(r"/\*.*?\*/", "", text[: text.index("@media print")], flags=re.S)
    roots = re.findall(r":root \{([^}]*)\}", text)
    variables = _declarations(roots[0])
    rules = []
    for selectors, body in re.findall(r"([^{}]+)\{([^{}]*)\}", text):
        for selector in selectors.split(","):
            match = re.fullmatch(r"(?:svg )?(\w*)((?:\.\w+)*)", selector.strip())
            if match and (selector.strip().startswith("svg ") or re.match(r"\.c\d", match[2])):
                classes = frozenset(match[2].split(".")[1:])
                rules.append((match[1], classes, _declarations(body)))
    return variables, rules


def _declarations(body: str) -> Style:
    pairs = (part.split(":", 1) for part in body.split(";") if ":" in part)
    return {name.strip(): value.strip() for name, value in pairs}


def _resolved(value: str, variables: Mapping[str, str]) -> str:
    """Without var(): its value, or what stands in its place."""
    match = re.fullmatch(r"var\((--\w+)(?:, *(.*))?\)", value)
    if match is None:
        return value
    return _resolved(variables.get(match[1]) or match[2] or "none", variables)


def svg(drawing: str) -> str:
    """A plot of ``toolchain.pages`` as an SVG file."""
    variables, rules = _rules()
    root = ElementTree.fromstring(drawing.replace("<svg ", f'<svg xmlns="{SVG}" ', 1))
    _write_styles(root, rules, variables)

    _, _, width, height = root.attrib["viewBox"].split()
    root.attrib |= {"width": width, "height": height, "font-family": _FONT}
    ground = {"width": width, "height": height, "fill": variables["--paper"]}
    root.insert(2, ElementTree.Element(f"{{{SVG}}}rect", ground))  # after title and description
    ElementTree.register_namespace("", SVG)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _write_styles(
    element: ElementTree.Element,
    rules: list[tuple[str, frozenset[str], Style]],
    inherited: Mapping[str, str],
) -> None:
    """Declarations of the rules that hold for an element and those in it, as attributes."""
    tag = element.tag.removeprefix(f"{{{SVG}}}")
    classes = set(element.attrib.get("class", "").split())
    style: Style = {}
    for name, wanted, declarations in rules:
        if (name or wanted) and name in ("", tag) and wanted <= classes:
            style |= declarations

    variables = {**inherited}
    for name, value in style.items():
        if name.startswith("--"):
            variables[name] = _resolved(value, inherited)
    for name in _GONE:
        element.attrib.pop(name, None)
    for name, value in style.items():
        if not name.startswith("--") and name not in ("font-family", "pointer-events"):
            element.attrib.setdefault(name, _resolved(value, variables))
    for child in element:
        _write_styles(child, rules, variables)


def pdf(file: str) -> bytes:
    """An SVG file as PDF. Raises OutputError without CairoSVG or its library."""
    try:
        import cairosvg
    except (ImportError, OSError) as error:  # OSError: the package is there, libcairo is not
        raise OutputError(
            f"PDF needs CairoSVG and libcairo, and here it says: {error}; "
            f"pip install 'spikeport[figures]', or leave {parameter('pdf')} out for SVG alone"
        ) from None
    content: bytes = cairosvg.svg2pdf(bytestring=file.encode("utf-8"))
    return content
