"""The line of a cell, from what a Python kernel says when it is interrupted or aborted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprolake_runner.where import before_dump, line_of_dump, line_of_traceback

DUMP = b"""words before
Fatal Python error: Aborted

Thread 0x00007f1 (most recent call first):
  File "/usr/lib/python3.11/threading.py", line 324 in wait

Current thread 0x00007f2 (most recent call first):
  File "/usr/lib/python3.11/random.py", line 5 in <module>
  File "/tmp/ipykernel_2/111.py", line 90 in helper
  File "/tmp/ipykernel_2/222.py", line 7 in <module>
  File "/opt/env/lib/python3.11/site-packages/IPython/core/interactiveshell.py", line 3577 in run_code
"""


def test_the_line_of_an_aborted_kernel_is_the_cells_own():
    """Of all frames the cell's outermost one counts, not a function of another cell and no library."""
    assert line_of_dump(DUMP) == 7
    assert line_of_dump(DUMP.replace(b"<module>", b"<cell line: 3>")) == 7
    assert line_of_dump(DUMP.replace(b"Fatal", b"fatal")) is None
    assert line_of_dump(DUMP.replace(b"ipykernel_2", b"elsewhere")) is None
    assert line_of_dump(DUMP * 3) == 7


def test_last_words_are_those_before_the_dump():
    """A traceback that Python printed as it was ended is not taken for what the kernel said."""
    assert before_dump(DUMP.decode()) == "words before\n"
    assert before_dump("nothing") == "nothing"


@pytest.mark.parametrize(
    ("traceback", "line"),
    [
        (["\x1b[31mKeyboardInterrupt\x1b[0m", "\x1b[36mCell\x1b[39m In[2], line 3\n 1 x\n----> 3 wait()"], 3),
        (["KeyboardInterrupt", "<ipython-input-2-abc> in <module>\n      1 x\n----> 2 wait()"], 2),
        (["Input In [4], in <cell line: 1>()\n----> 1 wait()"], 1),
        (["File a.py, line 3"], None),
        ([], None),
    ],
)
def test_the_line_of_an_interrupt_is_in_its_traceback(traceback, line):
    """Tracebacks of old and new versions of IPython tell the cell's line."""
    assert (
        line_of_traceback([{"output_type": "stream"}, {"output_type": "error", "traceback": traceback}])
        == line
    )


@given(st.binary(max_size=300), st.lists(st.text(), max_size=3))
def test_any_text_is_taken(said, traceback):
    """Whatever a kernel says, the answer is a number or none."""
    line = line_of_dump(b"Fatal Python error: \nThread 0x" + said)
    assert line is None or line >= 0
    found = line_of_traceback([{"output_type": "error", "traceback": traceback}])
    assert found is None or found >= 0
