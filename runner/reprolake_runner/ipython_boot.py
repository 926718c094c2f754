"""The program that a Python kernel of the image is started with, in place of ipykernel's own launcher.

It does the launcher's work with eight differences. A folder with types.py or random.py must not stand in for Python's own
modules while the kernel is being imported, so it starts elsewhere (the folder gets its place on the path from IPython, as in
Jupyter). It drops no output when it is faster than the driver. It prints no advice on how to connect to it. It leaves its
sockets to the end of the process: closing them first locks up now and then, after all that the user's code wants to do at
exit. When it is aborted, or crashes, it says where it was. It tells of shell lines, and cells of other programs, that
fail where IPython passes over it. And `exit` and `quit` end the notebook as `sys.exit` does, where IPython's end the kernel a
moment later, whatever cell it is at by then.

It runs in any Python from 2.7 and with any ipykernel from 4.0.
"""

from __future__ import annotations

from reprolake_runner.driver.protocol import SHELL_MESSAGE

_BOOT = """\
import atexit, functools, os, subprocess, sys
try:
    import faulthandler
    faulthandler.enable(os.dup(2))
except Exception:
    pass
sys.path = [path for path in sys.path if path]
os.chdir({folder!r})
import zmq
make = zmq.Context.socket
def socket(self, kind, *rest, **options):
    made = make(self, kind, *rest, **options)
    if kind in (zmq.PUB, zmq.XPUB):
        made.setsockopt(zmq.SNDHWM, 0)
    return made
zmq.Context.socket = socket
from ipykernel.kernelapp import IPKernelApp
class KernelApp(IPKernelApp):
    def log_connection_info(self):
        shown = sys.__stdout__
        with open(os.devnull, "w") as sys.__stdout__:
            IPKernelApp.log_connection_info(self)
        sys.__stdout__ = shown
def tell(command, status):
    try:
        if status:
            kernel = app.kernel
            parent = getattr(kernel, "get_parent", lambda: app.shell.display_pub.parent_header)()
            content = dict(command=u"{{}}".format(command), status=int(status))
            kernel.session.send(kernel.iopub_socket, {message!r}, content, parent=parent)
    except Exception:
        pass
try:
    from IPython.core.magics import script
    shebang = script.ScriptMagics.shebang
    @functools.wraps(shebang)
    def told_shebang(self, line, cell):
        silent = [word for word in line.split() if len(word) > 2 and "--no-raise-error".startswith(word)]
        strict = functools.reduce(lambda rest, word: rest.replace(word, "", 1), silent, line)
        started = []
        popen = getattr(script, "Popen", None)
        if popen is not None:
            script.Popen = lambda *words, **options: started.append(popen(*words, **options)) or started[-1]
        try:
            result = shebang(self, strict, cell)
        except subprocess.CalledProcessError as error:
            if not silent:
                raise
            tell("%%" + line, error.returncode)
            return None
        finally:
            if popen is not None:
                script.Popen = popen
        for process in started:
            tell("%%" + line, process.returncode)
        return result
    script.ScriptMagics.shebang = told_shebang
except (ImportError, AttributeError):
    pass
app = KernelApp.instance()
app.initialize()
try:
    import IPython.core.interactiveshell, ipykernel.zmqshell
    calling = ipykernel.zmqshell if hasattr(ipykernel.zmqshell, "system") else IPython.core.interactiveshell
    system = calling.system
    def told_system(command):
        status = system(command)
        tell(command, status)
        return status
    calling.system = told_system
    import IPython.utils._process_common as common
    handler = common.process_handler
    def told_handler(command, callback, *rest, **options):
        def called(process):
            result = callback(process)
            tell(command, process.returncode)
            return result
        return handler(command, called, *rest, **options)
    common.process_handler = told_handler
except (ImportError, AttributeError):
    pass
try:
    class Leave(type(app.shell.exiter)):
        def __call__(self, status=0):
            raise SystemExit(status)
    app.shell.exiter = app.shell.user_ns["exit"] = app.shell.user_ns["quit"] = Leave(app.shell)
except Exception:
    pass
app.start()
getattr(atexit, "unregister", lambda _: None)(getattr(app, "close", None))
"""


def boot(folder: str) -> str:
    """Return the source of the program, for a notebook in `folder` (sandbox path)."""
    return _BOOT.format(folder=folder.encode("utf-8", "surrogateescape"), message=SHELL_MESSAGE)
