"""Vector graphics made fit for a page with a strict content policy."""

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field

# What a plot needs. Anything else (scripts, foreign content, event handlers) is left out.
ELEMENTS = {
    "svg", "g", "path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "text",
    "tspan", "title", "desc", "defs", "use", "clipPath", "linearGradient", "radialGradient",
    "stop", "pattern", "marker", "mask", "symbol", "image",
}  # fmt: skip
REFERENCE = re.compile(r"url\(\s*['\"]?#([^)'\"]+)['\"]?\s*\)")


@dataclass
class StyleSheet:
    """Classes for the inline styles of all figures of one page, numbered in order of use.

    A policy that allows the page's own style element by its hash forbids style attributes, of
    which matplotlib writes thousands (a few dozen different ones). Each becomes a class.
    """

    classes: dict = field(default_factory=dict)

    def name(self, style):
        """The class for these declarations."""
        return self.classes.setdefault(style, f"s{len(self.classes)}")

    def css(self):
        """All rules, one per line."""
        return "\n".join(f".{name}{{{style}}}" for style, name in self.classes.items())


def adopt(source, name, label, sheet):
    """The SVG document `source` as markup for an HTML page.

    `name` prefixes every id, since two figures of one page may share one (matplotlib#23693);
    `label` is the accessible name; inline styles move to `sheet`. Metadata, namespaces, style
    elements and whatever is not drawing are dropped, as are references that leave the document.
    Raises xml.etree.ElementTree.ParseError if `source` is not XML, ValueError if it is not SVG.
    """
    root = ET.fromstring(source)
    if _local(root.tag) != "svg":
        raise ValueError(f"the document's root is <{_local(root.tag)}>, not <svg>")
    _clean(root, name, sheet)
    _fit(root)
    root.set("role", "img")
    root.set("aria-label", label)
    return ET.tostring(root, encoding="unicode", short_empty_elements=False)


def _clean(element, name, sheet):
    element.tag = _local(element.tag)
    style = None
    for key in list(element.attrib):
        value = element.attrib.pop(key)
        local = _local(key)
        if local == "style":
            style = _rename(value, name).strip().rstrip(";")
        elif local == "href":
            # A reference may stay in the document or carry its data (a raster heat map).
            if value.startswith("#"):
                element.set("href", f"#{name}-{value[1:]}")
            elif value.startswith("data:image/"):
                element.set("href", value)
        elif local == "id":
            element.set("id", f"{name}-{value}")
        elif not local.startswith("on") and local not in {"space", "class"}:
            element.set(local, _rename(value, name))
    if style and not re.search(r"[{}<@\\]|url\((?!#)", style):
        element.set("class", sheet.name(style))
    for child in list(element):
        if isinstance(child.tag, str) and _local(child.tag) in ELEMENTS:
            _clean(child, name, sheet)
            if element.tag not in {"text", "tspan"}:
                child.tail = None
        else:
            element.remove(child)
    if element.tag not in {"text", "tspan", "title", "desc"}:
        element.text = None


def _fit(root):
    """Let the page decide how wide the figure is: keep the view box, drop the fixed size."""
    width, height = root.attrib.pop("width", None), root.attrib.pop("height", None)
    if "viewBox" not in root.attrib and width and height:
        root.set("viewBox", f"0 0 {_points(width)} {_points(height)}")
    root.attrib.pop("version", None)


def _points(length):
    return re.sub(r"[a-z]+$", "", length)


def _local(tag):
    return tag.rsplit("}", 1)[-1]


def _rename(value, name):
    return REFERENCE.sub(rf"url(#{name}-\1)", value)
