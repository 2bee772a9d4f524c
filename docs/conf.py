"""Sphinx: `make docs` writes the documentation to docs/out, without any network."""

import importlib.metadata

# autodoc would import them with typing.TYPE_CHECKING true, which pydantic does not support
import mmduet.evaluation.evaluate
import mmduet.training.config  # noqa: F401

project = "MMDuet workbench"
author = "The authors of MMDuet workbench"
release = importlib.metadata.version("mmduet-workbench")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["out"]

html_theme = "furo"
html_title = project
html_show_copyright = False
html_show_sphinx = False

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
