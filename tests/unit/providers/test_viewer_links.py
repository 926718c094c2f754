"""Links of services that open notebooks: the repository or record behind them, and the notebook."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprolake_builder.errors import ResolveError
from reprolake_builder.providers.links.viewer import parse_viewer_link

ID = "aa71d2d3d33b2c41e25bb5932de9237cbd29eadc"
GIST = ID[:32]
HUB = "https://github.com/lab/crab"
BINDER = "https://mybinder.org/v2"


@pytest.mark.parametrize(
    ("text", "link", "ref", "notebook"),
    [
        (f"{BINDER}/gh/lab/crab/main?labpath=a%2Fplot.ipynb", HUB, "main", "a/plot.ipynb"),
        (f"{BINDER}/gh/lab/crab/fix/x?filepath=a/plot.ipynb", HUB, "fix/x", "a/plot.ipynb"),
        (f"{BINDER}/gh/lab/crab/HEAD", HUB, "HEAD", ""),
        (f"{BINDER}/gh/lab/crab/", HUB, "", ""),
        (f"{BINDER}/gh/lab/crab/main?urlpath=lab/tree/plot.ipynb%3Freset", HUB, "main", "plot.ipynb"),
        (f"{BINDER}/gh/lab/crab/main?urlpath=%2Fnotebooks%2Fa+b.ipynb", HUB, "main", "a b.ipynb"),
        (f"{BINDER}/gh/lab/crab/main?urlpath=voila/render/plot.ipynb", HUB, "main", "plot.ipynb"),
        (f"{BINDER}/gh/lab/crab/main?urlpath=rstudio", HUB, "main", ""),
        (f"{BINDER}/gh/lab/crab/main?filepath=notebooks", HUB, "main", ""),
        (f"{BINDER}/gl/esc%2Fwp3%2Fcrab/v1?labpath=x.ipynb", "https://gitlab.com/esc/wp3/crab", "v1", "x.ipynb"),
        (f"{BINDER}/gl/esc/crab/v1", "https://gitlab.com/esc/crab", "v1", ""),
        (
            f"{BINDER}/git/https%3A%2F%2Fgit.astron.nl%2Fa%2Fb.git/{ID}?labpath=x.ipynb",
            "https://git.astron.nl/a/b.git", ID, "x.ipynb",
        ),
        (f"{BINDER}/gist/ada/{GIST}/{ID}", f"https://gist.github.com/ada/{GIST}", ID, ""),
        (f"{BINDER}/zenodo/10.5281/zenodo.3242074/?filepath=x.ipynb", "10.5281/zenodo.3242074", "", "x.ipynb"),
        (f"{BINDER}/figshare/10.6084/m9.figshare.9782777.v3", "10.6084/m9.figshare.9782777.v3", "", ""),
        (f"{BINDER}/dataverse/10.7910/DVN/TJCLKP", "10.7910/DVN/TJCLKP", "", ""),
        (f"{BINDER}/hydroshare/{GIST}", f"https://www.hydroshare.org/resource/{GIST}", "", ""),
        (f"{BINDER}/ckan/https%3A%2F%2Fckan.example.org%2Fdataset%2Fx", "https://ckan.example.org/dataset/x", "", ""),
        ("https://gke.mybinder.org/v2/gh/lab/crab/main", HUB, "main", ""),
        ("https://notebooks.gesis.org/binder/v2/gh/lab/crab/main", HUB, "main", ""),
        (f"[![Binder](https://mybinder.org/badge_logo.svg)]({BINDER}/gh/lab/crab/v1?labpath=x.ipynb)", HUB, "v1", "x.ipynb"),
        (f".. image:: https://mybinder.org/badge_logo.svg\n   :target: {BINDER}/gh/lab/crab/v1", HUB, "v1", ""),
        ("https://nbviewer.org/github/lab/crab/blob/fix/x/a%20b.ipynb", f"{HUB}/blob/fix/x/a%20b.ipynb", "", ""),
        ("https://nbviewer.jupyter.org/format/slides/github/lab/crab/tree/main", f"{HUB}/tree/main", "", ""),
        (f"https://nbviewer.org/gist/ada/{GIST}", f"https://gist.github.com/ada/{GIST}", "", ""),
        (f"https://nbviewer.org/gist/ada/{GIST}/{ID}/x.ipynb", f"https://gist.github.com/ada/{GIST}", ID, "x.ipynb"),
        (
            "https://nbviewer.org/urls/gitlab.in2p3.fr/a/b/-/raw/main/x.ipynb?inline=false",
            "https://gitlab.in2p3.fr/a/b/-/raw/main/x.ipynb?inline=false", "", "",
        ),
        ("https://nbviewer.org/url/h.org/x.ipynb", "http://h.org/x.ipynb", "", ""),
        ("https://colab.research.google.com/github/lab/crab/blob/main/x.ipynb#scrollTo=1", f"{HUB}/blob/main/x.ipynb", "", ""),
        (f"https://colab.research.google.com/gist/ada/{GIST}/x.ipynb", f"https://gist.github.com/ada/{GIST}", "", "x.ipynb"),
    ],
)  # fmt: skip
def test_what_is_opened(text, link, ref, notebook):
    """Each service's link gives what it opens, its ref and its notebook."""
    found = parse_viewer_link(text)
    assert found is not None
    assert (found.link, found.ref, found.notebook) == (link, ref, notebook)


@pytest.mark.parametrize(
    "text", ["", HUB, "./folder", "https://doi.org/10.5281/zenodo.1", "https://[", "a\nb"]
)
def test_other_links(text):
    """Other links are left to others."""
    assert parse_viewer_link(text) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("https://mybinder.org/", "opens no notebook"),
        ("https://mybinder.org/badge_logo.svg", "opens no notebook"),
        (f"{BINDER}/ghx/lab/crab/main", "opens no notebook"),
        (f"{BINDER}/gh/lab", "opens no notebook"),
        ("https://colab.research.google.com/drive/1AbC", "opens no notebook"),
        ("https://nbviewer.org/", "opens no notebook"),
        (f"{BINDER}/gh/lab/crab/main?urlpath=git-pull%3Frepo%3Dhttps%3A//h.org/a", "another repository"),
        (f"{BINDER}/gh/lab/crab/a..b", "no name of a branch"),
        (f"{BINDER}/git/%2Fetc/main", "neither on the web nor a DOI"),
        (f"{BINDER}/git/file%3A%2F%2F%2Fetc/main", "neither on the web nor a DOI"),
        (f"{BINDER}/zenodo/home/me", "neither on the web nor a DOI"),
        (f"{BINDER}/gh/lab/cr%1bab/main", "control characters"),
    ],
)
def test_what_is_refused(text, words):
    """A link that opens nothing which can be pinned is refused with a sentence that says why."""
    with pytest.raises(ResolveError, match=words):
        parse_viewer_link(text)


@given(
    st.one_of(
        st.text(),
        st.builds(
            lambda host, parts, query: f"https://{host}/" + "/".join(parts) + query,
            st.sampled_from(["mybinder.org", "nbviewer.org", "colab.research.google.com"]),
            st.lists(st.one_of(st.sampled_from(["v2", "gh", "gist", "git", "urls", "%0a"]), st.text(max_size=8)), max_size=7),
            st.one_of(st.just(""), st.builds("?urlpath={}".format, st.text(max_size=12))),
        ),
    )
)  # fmt: skip
def test_any_text(text):
    """Whatever the text, the answer is a link, none, or an error of our own."""
    try:
        found = parse_viewer_link(text)
    except ResolveError:
        return
    assert found is None or found.link


@pytest.mark.parametrize("inside", ["http%3A%2F%2F127.0.0.1%2Fa%2Fb", "https%3A%2F%2F10.1.2.3%2Fa%2Fb.git"])
def test_no_service_opens_what_is_in_here(inside):
    """A link of a public service that leads to this host or its network is refused."""
    with pytest.raises(ResolveError, match="neither on the web nor a DOI"):
        parse_viewer_link(f"https://mybinder.org/v2/git/{inside}/main")
