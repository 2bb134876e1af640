"""Sphinx configuration of the site; build.py stages the pages from the notebooks."""

import importlib
from configparser import ConfigParser
from pathlib import Path

_settings = ConfigParser(delimiters=["="])
_settings.read(Path(__file__).resolve().parents[1] / "settings.ini", encoding="utf-8")
_about = _settings["DEFAULT"]

project = _about["title"]
author = _about["author"]
copyright = _about["copyright"]  # noqa: A001
release = _about["version"]
language = "en"

extensions = ["myst_nb", "sphinx.ext.autodoc", "numpydoc", "sphinx_copybutton"]
exclude_patterns = ["_build", "README.md"]
templates_path = []
suppress_warnings = ["mystnb.unknown_mime_type"]  # widgets of progress bars also have text

nb_execution_mode = "off"  # build.py executes notebooks, with a cache
nb_output_stderr = "remove"  # progress bars
nb_render_markdown_format = "myst"  # so that links in outputs lead to pages
nb_merge_streams = True
nb_number_source_lines = False
nb_code_prompt_show = "Source"
nb_code_prompt_hide = "Hide the source"
myst_enable_extensions = ["amsmath", "attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
myst_links_external_new_tab = True
mathjax_path = "mathjax/tex-chtml.js"  # a local copy, see setup: formulas show without a network
mathjax3_config = {"chtml": {"scale": 0.95}}
copybutton_selector = "div.highlight:not(.cell_output div.highlight) pre"
toc_object_entries_show_parents = "hide"
add_module_names = False
html_show_sourcelink = False
html_copy_source = False

default_role = "py:obj"  # `name` in a docstring links to what it names
autodoc_typehints = "none"  # the docstrings give types with shapes and units
autodoc_member_order = "bysource"
numpydoc_show_class_members = False  # autodoc lists them
numpydoc_xref_param_type = False

html_theme = "pydata_sphinx_theme"
html_title = _about["title"]
html_short_title = "Chromoformer"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "_static/favicon.svg"
html_theme_options = {
    "logo": {
        "text": "Chromoformer",
        "image_light": "_static/favicon.svg",
        "image_dark": "_static/favicon.svg",
        "alt_text": "Home",
    },
    "navbar_align": "left",
    "header_links_before_dropdown": 8,
    "navbar_end": ["theme-switcher"],
    "secondary_sidebar_items": ["page-toc"],
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "show_prev_next": True,
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "back_to_top_button": True,
}
html_sidebars = {"index": []}


def _without_padding(render):
    "Parse reStructuredText without the blank lines that stand for all lines before it; they take minutes."

    def render_at_first_line(renderer, token):
        token.token.map = [0, 1]
        render(renderer, token)

    return render_at_first_line


def setup(app):
    "Copy MathJax from its package; loading the package as an extension would forbid reading pages in"
    "parallel."
    from myst_parser.mdit_to_docutils.base import DocutilsRenderer

    DocutilsRenderer.render_restructuredtext = _without_padding(DocutilsRenderer.render_restructuredtext)
    app.connect("build-finished", importlib.import_module("sphinx-mathjax-offline").copy_mathjax_files)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
