"""A Sphinx extension: what the theme's pages lack for readers without a mouse or a screen, for those who are
shown a link to them, and for those who want to run them elsewhere."""

from __future__ import annotations

import html
import os
import re
import subprocess

from sphinx.application import Sphinx

from tlbook.book import answers

# What names an element by other words than those on it (WCAG 2.5.3), or by a role that ARIA has withdrawn.
MISNAMED = re.compile(r' (aria-label="Toggle hidden content"|role="doc-biblioentry"|role="list")')
NO_HEAD = re.compile(r"<th(?: scope=['\"]col['\"])?></th>")
CARD = "_static/card.png"
GITHUB = re.compile(r"(?:https://github\.com/|git@github\.com:)([\w.-]+)/([\w.-]+?)(?:\.git)?/?")
DESCRIPTION = "Neyshabur, Sedghi and Zhang's study of transfer learning, made again from the beginning."


def mend(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Take from a page's body what misleads screen readers, and say in its head what a link to it shows."""
    context["body"] = NO_HEAD.sub("<td></td>", MISNAMED.sub("", context.get("body", "")))
    title = re.sub("<.*?>", "", context.get("title", ""))
    said = {"og:type": "article", "og:site_name": app.config.html_title, "og:title": title}
    said |= {"og:description": DESCRIPTION, "twitter:card": "summary_large_image"}
    if app.config.html_baseurl:
        address = app.config.html_baseurl.rstrip("/")
        said |= {"og:url": f"{address}/{pagename}.html", "og:image": f"{address}/{CARD}"}
    tags = [f'<meta property="{name}" content="{html.escape(text)}">' for name, text in said.items()]
    context["metatags"] = context.get("metatags", "") + "\n".join(tags)


def repository(folder: str) -> tuple[str, str] | None:
    """Owner and name on GitHub of what ``folder`` was cloned from; None where it is elsewhere."""
    call = ["git", "-C", folder, "config", "--get", "remote.origin.url"]
    found = subprocess.run(call, capture_output=True, text=True)
    match = GITHUB.fullmatch(found.stdout.strip())
    return (match[1], match[2]) if match else None


def lead_out(app: Sphinx, config) -> None:
    """Links to the repository, and buttons that open a page's source notebook on Binder and on Colab."""
    known = repository(app.confdir)
    if known is None:
        return
    owner, name = known
    config.html_baseurl = config.html_baseurl or f"https://{owner.lower()}.github.io/{name}/"
    config.html_theme_options |= {
        "repository_url": f"https://github.com/{owner}/{name}",
        "repository_branch": os.environ.get("GITHUB_REF_NAME", "main"),
        "path_to_docs": "",
        "use_repository_button": True,
        "use_issues_button": True,
        "launch_buttons": {
            "binderhub_url": "https://mybinder.org",
            "colab_url": "https://colab.research.google.com",
            "notebook_interface": "jupyterlab",
        },
    }


def draw_card(app: Sphinx, error: Exception | None) -> None:
    """The picture that stands beside a link to a page: title and findings, 1200 by 630 pixels."""
    if error or app.builder.format != "html":
        return
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6.3), facecolor="white")
    title = "What is being transferred\nin transfer learning?"
    figure.text(0.05, 0.84, title, fontsize=40, weight="bold", va="center")
    for place, line in enumerate(answers.lines()):
        figure.text(0.05, 0.58 - 0.11 * place, line.split("**")[1], fontsize=28, color="#0072b2")
    figure.savefig(os.path.join(app.outdir, CARD), dpi=100)


def setup(app: Sphinx) -> dict:
    app.connect("config-inited", lead_out)
    app.connect("html-page-context", mend)
    app.connect("build-finished", draw_card)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
