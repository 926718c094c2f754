# Variables that the Rucio extension of JupyterLab attaches to a notebook get into its kernel, whatever environment that is of.
# The one module that does so needs nothing but ipykernel, and is taken from the recipe's own environment by its path.
import glob
import importlib.util
import os
import sys

_NAME = "rucio_attachments"
_PLACE = "@prefix@/lib/python3*/site-packages/rucio_jupyterlab/kernels/ipython/__init__.py"


def _attach(place):
    spec = importlib.util.spec_from_file_location(
        _NAME, place, submodule_search_locations=[os.path.dirname(place)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[_NAME] = module
    spec.loader.exec_module(module)


# A server that starts a kernel for a notebook says which; `reprolake run` does not, and wants none of this.
for _found in glob.glob(_PLACE) if "JPY_SESSION_NAME" in os.environ else []:
    _attach(_found)
    c = get_config()
    c.IPKernelApp.extensions = [_NAME]
