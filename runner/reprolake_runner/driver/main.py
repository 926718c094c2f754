"""The driver: a child process in a sandbox of its own that speaks with the kernel and keeps the notebook.

It gets its plan as the first line of standard input, tells what happens on standard output, and sees nothing of the host
but Python, the folder with the kernel's sockets and the folder of the notebook. That is why it may read what a hostile
kernel sends.
"""

from __future__ import annotations

import gc
import os
import resource
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from reprolake_builder.errors import ReprolakeError
from reprolake_builder.process import printable
from reprolake_runner.documents.run import CheckSpec
from reprolake_runner.driver.cells import BeliedError, Cells, SilentError, StoppedError, TimeUpError
from reprolake_runner.driver.channels import TooMuchError
from reprolake_runner.driver.check import SavedCell, check_cell
from reprolake_runner.driver.inject import hide_code, inject
from reprolake_runner.driver.notebook_file import NotebookFile
from reprolake_runner.driver.notices import Notices
from reprolake_runner.driver.protocol import CellChecked, CellsDone, DriverPlan, Event, Failed, Saved

_NOTICE_SECONDS = 30.0
_BROKEN = 70


def main() -> None:
    """Run the driver to its end; the exit status is 0 when it did its work, whatever became of the notebook."""
    gc.freeze()  # what was imported stays
    notices = Notices(sys.stdin.fileno())
    plan = notices.plan()
    resource.setrlimit(resource.RLIMIT_DATA, (plan.limits.memory, plan.limits.memory))
    status = 0
    try:
        _drive(plan, notices)
    except MemoryError:
        _fail("limit-exceeded", f"the notebook's outputs need more than {plan.limits.memory >> 20} MB")
    except ReprolakeError as error:
        _fail("broken", error.message)
        status = _BROKEN
    except Exception as error:  # noqa: BLE001  (the last one who can say it; the supervisor records it)
        _fail("broken", printable(f"{type(error).__name__}: {error}")[:500])
        status = _BROKEN
    sys.stdout.flush()
    os._exit(status)  # threads of the socket library need not be waited for


def _drive(plan: DriverPlan, notices: Notices) -> None:
    file = NotebookFile(Path(plan.notebook), Path(plan.executed), plan.written_by)
    saved = {
        id(cell): SavedCell(cell, cell.get("outputs"), cell.get("execution_count"))
        for cell in file.notebook.cells
    }
    for cell in file.notebook.cells:
        if cell.cell_type == "code":
            # as papermill does: what an earlier run showed is not taken for what this one did
            cell["outputs"] = []
            cell["execution_count"] = None
    inject(file.notebook, plan.parameters, plan.language)
    if plan.report_mode:
        hide_code(file.notebook)
    file.begin(plan.name, plan.parameters)
    cells = Cells(plan, file, notices, _tell)
    try:
        file.save()
        cells.greet()
        succeeded = cells.run()
        file.end(failed=not succeeded)
        if succeeded and plan.check is not None:
            file.save()
            _check(cells, saved, plan.check)
        _tell(CellsDone())
        cells.wait_for_notice(_NOTICE_SECONDS)
        cells.end_kernel()
    except (StoppedError, EOFError):
        pass  # the notebook stays as it is: begun, not ended
    except TimeUpError as error:
        file.end(failed=True)
        _fail("timed-out", str(error))
    except TooMuchError as error:
        _fail("limit-exceeded", str(error))
    except BeliedError as error:
        file.end(failed=True)
        _tell(Failed(reason="belied", message=str(error), index=error.index))
    except SilentError as error:
        _fail("kernel-silent", str(error))
    finally:
        cells.close()
        _tell(Saved(sha256=file.save()))


def _check(cells: Cells, saved: dict[int, SavedCell], how: CheckSpec) -> None:
    """Compare what cells put out with what they were saved with, as long as nobody wants an end."""
    now = datetime.now(UTC)
    for index, cell in cells.ran:
        cells.look()
        before = saved.get(id(cell)) or SavedCell(cell, [], None)
        _tell(CellChecked(check=check_cell(index, before, how, now)))


def _tell(event: Event) -> None:
    os.write(1, msgspec.json.encode(event) + b"\n")


def _fail(reason: Literal["timed-out", "limit-exceeded", "kernel-silent", "broken"], message: str) -> None:
    _tell(Failed(reason=reason, message=message))
