"""A Sphinx extension: formulas become MathML while the book is built.

Browsers draw MathML themselves, so that a page needs neither MathJax nor a network. A formula that
latex2mathml does not understand is a warning, hence an error of the build.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

from docutils import nodes
from latex2mathml import exceptions
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

LOGGER = logging.getLogger(__name__)
ERRORS = tuple(v for v in vars(exceptions).values() if isinstance(v, type) and issubclass(v, Exception))
ARITY = {"mfrac": 2, "msub": 2, "msup": 2, "msubsup": 3, "mover": 2, "munder": 2, "munderover": 3, "mroot": 2}
LIMITS = {"max", "min", "sup", "inf", "lim", "\N{N-ARY SUMMATION}", "\N{N-ARY PRODUCT}"}
UNDER = {"msub": "munder", "msubsup": "munderover"}
NAMESPACE = "http://www.w3.org/1998/Math/MathML"
ElementTree.register_namespace("", NAMESPACE)
LEFT_OVER = re.compile(r">\s*(\\[A-Za-z]+)\s*<")


def to_mathml(latex: str, block: bool = False) -> str:
    """LaTeX (without dollars) to one <math> element; ValueError names a command that is not understood."""
    source = latex.strip()
    if block and r"\\" in source and r"\begin" not in source:
        source = rf"\begin{{aligned}}{source}\end{{aligned}}"
    try:
        mathml = convert(source, display="block" if block else "inline")
    except (*ERRORS, IndexError, KeyError) as error:
        raise ValueError(f"latex2mathml cannot read {source!r} ({type(error).__name__})") from error
    left = LEFT_OVER.search(mathml)
    if left:
        raise ValueError(f"latex2mathml does not know {left.group(1)} in {source!r}")
    root = ElementTree.fromstring(mathml)
    for element in root.iter():
        name = element.tag.removeprefix(f"{{{NAMESPACE}}}")
        if len(element) != ARITY.get(name, len(element)):
            raise ValueError(f"{source!r} is not complete: its {name} has {len(element)} part(s)")
        if block and name in UNDER and element[0].text in LIMITS:  # latex2mathml sets limits beside
            element.tag = f"{{{NAMESPACE}}}{UNDER[name]}"
    return ElementTree.tostring(root, encoding="unicode")


def _checked(node: nodes.Element, block: bool) -> str:
    try:
        return to_mathml(node.astext(), block)
    except ValueError as error:
        LOGGER.warning("%s", error, location=node)
        return f"<code>{nodes.unescape(node.astext())}</code>"


def visit_inline(translator, node: nodes.math) -> None:
    translator.body.append(f'<span class="tlb-math">{_checked(node, block=False)}</span>')
    raise nodes.SkipNode


def visit_block(translator, node: nodes.math_block) -> None:
    translator.body.append(translator.starttag(node, "div", CLASS="tlb-mathblock"))
    translator.body.append(_checked(node, block=True))
    if node.get("number"):
        translator.body.append(f'<span class="eqno">({get_node_equation_number(translator, node)})</span>')
    translator.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict:
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
