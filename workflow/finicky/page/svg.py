"""Vector graphics made fit for a page with a strict content policy."""

import re
import xml.etree.ElementTree as ET
from collections import Counter

# What a plot needs. Anything else (scripts, foreign content, event handlers) is left out.
ELEMENTS = {
    "svg", "g", "path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "text",
    "tspan", "title", "desc", "defs", "use", "clipPath", "linearGradient", "radialGradient",
    "stop", "pattern", "marker", "mask", "symbol", "image",
}  # fmt: skip
WITH_TEXT = {"text", "tspan", "title", "desc"}
# Properties that SVG also knows as attributes (SVG 2, section 6.6), of those that plots set.
PROPERTIES = {
    "fill", "fill-opacity", "fill-rule", "stroke", "stroke-opacity", "stroke-width",
    "stroke-dasharray", "stroke-dashoffset", "stroke-linecap", "stroke-linejoin",
    "stroke-miterlimit", "opacity", "color", "stop-color", "stop-opacity", "font-size",
    "font-family", "font-style", "font-weight", "text-anchor", "dominant-baseline",
    "text-decoration", "image-rendering", "clip-path", "mask",
}  # fmt: skip
FONT = re.compile(
    r"(?:(?P<style>italic|oblique)\s+)?(?:(?P<weight>bold|\d{3})\s+)?"
    r"(?P<size>[\d.]+px)(?:/\S+)?\s+(?P<family>.+)"
)
REFERENCE = re.compile(r"url\(\s*['\"]?#([^)'\"]+)['\"]?\s*\)")
# Where coordinates stand; more digits than a hundredth of a point nobody sees.
PLACES = {"d", "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "width", "height", "points",
          "transform"}  # fmt: skip
LONG = re.compile(r"-?\d+\.\d{3,}(?![\de])")
UNTURNED = re.compile(r"rotate\(-?0(\.0*)?\s[^)]*\)")
UNSAFE = re.compile(r"[{}<@\\]|url\((?!#)")


def adopt(source, name, label):
    """The SVG document `source` as markup for an HTML page.

    `name` prefixes every id, since two figures of one page may share one (matplotlib#23693);
    `label` is the accessible name. Inline styles, which a strict policy forbids, become attributes
    of the same names, so a drawing needs no style sheet. Metadata, namespaces, style elements,
    groups that say nothing and whatever is not drawing are dropped, as are references that leave
    the document, turns by nothing and digits that nobody sees. Marks of one kind that follow each
    other become one path: ticks, grid lines and points are most of a drawing's elements, and a page
    of forty figures has to hold them all.
    Raises xml.etree.ElementTree.ParseError if `source` is not XML, ValueError if it is not SVG.
    """
    root = ET.fromstring(source)
    if _local(root.tag) != "svg":
        raise ValueError(f"the document's root is <{_local(root.tag)}>, not <svg>")
    used = {value[1:] for one in root.iter() for value in one.attrib.values() if value[:1] == "#"}
    used |= set(REFERENCE.findall(source))
    _clean(root, name, used)
    _flatten(root)
    _join(root)
    _share_font(root)
    _fit(root)
    root.set("role", "img")
    root.set("aria-label", label)
    return ET.tostring(root, encoding="unicode", short_empty_elements=False)


def properties(style):
    """The declarations of a style attribute as presentation attributes; the shorthand `font` in
    its parts. What SVG has no attribute for, or what leaves the document, is left out."""
    found = {}
    for declaration in style.split(";"):
        key, _, value = (text.strip() for text in declaration.partition(":"))
        if UNSAFE.search(value):
            continue
        if key == "font" and (font := FONT.fullmatch(value)):
            found |= {f"font-{part}": text for part, text in font.groupdict().items() if text}
        elif key in PROPERTIES:
            found[key] = value
    return found


def _clean(element, name, used):
    element.tag = _local(element.tag)
    given = dict(element.attrib)
    element.attrib.clear()
    for key, value in given.items():
        local = _local(key)
        if local == "style":
            for one, text in properties(_rename(value, name)).items():
                element.set(one, text)
        elif local == "href":
            # A reference may stay in the document or carry its data (a raster heat map).
            if value.startswith("#"):
                element.set("href", f"#{name}-{value[1:]}")
            elif value.startswith("data:image/"):
                element.set("href", value)
        elif local == "id":
            if value in used:
                element.set("id", f"{name}-{value}")
        elif local in PLACES:
            if place := " ".join(LONG.sub(_short, UNTURNED.sub("", value)).split()):
                element.set(local, place)
        elif not local.startswith("on") and local not in {"space", "class"}:
            element.set(local, _rename(value, name))
    for child in list(element):
        if not isinstance(child.tag, str) or _local(child.tag) not in ELEMENTS:
            element.remove(child)
            continue
        _clean(child, name, used)
        if element.tag not in {"text", "tspan"}:
            child.tail = None
    if element.tag not in WITH_TEXT:
        element.text = None


def _flatten(element):
    """Replace groups without attributes by what they hold, and drop what is not seen: paths without
    fill and stroke, which stand for backgrounds."""
    children = []
    for child in element:
        _flatten(child)
        unseen = (
            child.tag == "path" and child.get("fill") == "none" and "stroke" not in child.attrib
        )
        if child.tag == "g" and not child.attrib:
            children += list(child)
        elif not unseen:
            children.append(child)
    element[:] = children


def _join(root):
    """Draw marks that look the same and follow each other as one path, and shapes that are named
    once where they stand; shapes that nobody names any more go."""
    shapes = {one.get("id"): one for one in root.iterfind(".//defs/path")}
    names = Counter(one.get("href", "")[1:] for one in root.iter("use"))
    once = {name for name, count in names.items() if count == 1}
    for parent in [one for one in root.iter() if one.tag in {"svg", "g"}]:
        parent[:] = _joined([_drawn(child, shapes, once) for child in parent])
        if parent.tag == "g" and [child.tag for child in parent] == ["path"]:
            only = parent[0]
            # what is moved would move its clip path too
            if not {"transform", *parent.attrib} & only.attrib.keys():
                parent.tag, parent[:] = only.tag, list(only)
                parent.attrib.update(only.attrib)
    named = {one.get("href", "")[1:] for one in root.iter("use")}
    for defs in list(root.iterfind(".//defs")):
        for shape in list(defs):
            if shape.tag == "path" and shape.get("id") not in named:
                defs.remove(shape)
    parents = {child: parent for parent in root.iter() for child in parent}
    for defs in list(root.iterfind(".//defs")):
        if not len(defs):
            parents[defs].remove(defs)


def _drawn(element, shapes, once):
    """A reference to a shape that may be joined, or is named once, as a path of its own, where it
    stands; all else as it is. To write every outline takes more room, and fewer elements."""
    shape = shapes.get(element.get("href", "")[1:]) if element.tag == "use" else None
    if shape is None or "transform" in {*element.attrib, *shape.attrib}:
        return element
    own = {key: text for key, text in element.attrib.items() if key not in {"href", "x", "y"}}
    kept = {key: text for key, text in shape.attrib.items() if key not in {"id", "d"}}
    moved = _moved(shape.get("d"), float(element.get("x", 0)), float(element.get("y", 0)))
    path = ET.Element("path", own | kept | {"d": moved or ""})
    alone = element.get("href", "")[1:] in once
    return path if moved and (alone or _is_straight(path) or _covers(path)) else element


def _moved(outline, right, down):
    """An outline elsewhere; None if it has more than pairs of absolute coordinates."""
    words, place = [], 0
    for word in outline.split():
        if word in {"M", "L", "C", "Q", "z", "Z"}:
            words.append(word)
            continue
        try:
            number = float(word)
        except ValueError:
            return None
        words.append(_decimals(number + (down if place % 2 else right)))
        place += 1
    return " ".join(words)


def _joined(children):
    """The children of an element, those paths joined that look the same and may be: straight ones
    between two texts or paths of other kinds, since ticks and their labels take turns."""
    found, straight, last = [], {}, None
    for child in children:
        look = child.tag == "path" and tuple(sorted((child.attrib | {"d": ""}).items()))
        if look and _is_straight(child):
            first, last = straight.setdefault(look, child), None
        else:
            if child.tag not in {"text", "defs"}:
                straight = {}
            first = last[1] if look and last and last[0] == look and _covers(child) else child
            last = (look, first) if look else None
        if first is child:
            found.append(child)
        else:
            first.set("d", f"{first.get('d')} {child.get('d')}")
    return found


def _is_straight(path):
    """Whether a path is one line between two points."""
    words = path.get("d", "").split()
    return len(words) == 6 and words[3] == "L"


def _covers(path):
    """Whether it makes no difference if the same path is drawn over it or joined to it."""
    see_through = {"opacity", "fill-opacity", "stroke-opacity"} & path.attrib.keys()
    edge = path.get("stroke", "none")
    return bool(path.get("d")) and not see_through and edge in {"none", path.get("fill")}


def _share_font(root):
    """Name a font that all texts have once, at the root."""
    families = {one.get("font-family") for one in root.iter() if "font-family" in one.attrib}
    if len(families) == 1:
        for one in root.iter():
            one.attrib.pop("font-family", None)
        root.set("font-family", families.pop())


def _fit(root):
    """Let the page decide how wide the figure is: keep the view box, drop the fixed size."""
    width, height = root.attrib.pop("width", None), root.attrib.pop("height", None)
    if "viewBox" not in root.attrib and width and height:
        root.set("viewBox", f"0 0 {_points(width)} {_points(height)}")
    root.attrib.pop("version", None)


def _short(found):
    return _decimals(float(found[0]))


def _decimals(number):
    """A coordinate to a hundredth."""
    return f"{round(number, 2) + 0.0:.2f}".rstrip("0").rstrip(".")


def _points(length):
    return re.sub(r"[a-z]+$", "", length)


def _local(tag):
    return tag.rsplit("}", 1)[-1]


def _rename(value, name):
    return REFERENCE.sub(rf"url(#{name}-\1)", value)
