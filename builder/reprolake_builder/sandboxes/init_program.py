"""The first process of a container: a program for Linux on x86-64 that needs nothing of the image that it starts in.

It sets exactly the variables that it is given, goes to the program's folder, puts itself under the filter of system calls,
starts the program and takes in orphans. When the program has ended it says how, and waits to be ended: until then the
container's control group can be asked what it counted. Engines have such programs, too, but not everywhere, and none says
whether the program was ever started. It is 379 bytes of machine code because no compiler can be asked for.

It is not apptainer's first program (`first_program`), nor can be without loss. It lies in the image and takes its words as
arguments, so that the engine is sent one image for all starts; a program made for each start would have to be bound in, from a
folder of the host that may let nothing be executed. No engine passes a descriptor on, so it reports by pipes that have a name;
and it outlives its program, for what the engine does after it nobody can stop.
Source: System V ABI for AMD64, "Process Initialization"; elf(5); seccomp(2).
"""

from __future__ import annotations

import re
import struct

from reprolake_builder.sandboxes import seccomp
from reprolake_builder.sandboxes.interface import SandboxSpec
from reprolake_builder.sandboxes.machine_code import Data, executable

FOLDER = "/.reprolake"
PATH = f"{FOLDER}/init"
REPORT = f"{FOLDER}/report"
"""A named pipe: ">" is written when it is open, before anything else runs; then two bytes, "!" and the number of an error (negative) when the
program cannot be started, "=" and its status when it has ended. Nobody inside can open it once its mode is 0."""
GO = f"{FOLDER}/go"
"""A named pipe: the program is started once somebody outside has opened it for writing."""

_FILTER_OF = "=HxxxxxxQ"  # struct sock_fprog
_LISTING = """
    # r12 = the variables, which end with NULL where the empty word was
    4c8d642410         # lea r12, [rsp+0x10]
    4d89e5             # mov r13, r12
    498b4500           # variables: mov rax, qword [r13+0x0]
    4983c508           # add r13, 0x8
    803800             # cmp byte [rax], 0x0
    75f3               # jne variables
    49c745f800000000   # mov qword [r13-0x8], 0x0
    # chdir(the folder)
    498b7d00           # mov rdi, qword [r13+0x0]
    4983c508           # add r13, 0x8
    b850000000         # mov eax, 0x50
    0f05               # syscall
    4889c5             # mov rbp, rax
    # r13 = the candidates, which end with NULL where the empty word was, r14 = the arguments
    4d89ee             # mov r14, r13
    498b06             # candidates: mov rax, qword [r14]
    4983c608           # add r14, 0x8
    803800             # cmp byte [rax], 0x0
    75f4               # jne candidates
    49c746f800000000   # mov qword [r14-0x8], 0x0
    # prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    bf26000000         # mov edi, 0x26
    be01000000         # mov esi, 0x1
    31d2               # xor edx, edx
    4531d2             # xor r10d, r10d
    4531c0             # xor r8d, r8d
    b89d000000         # mov eax, 0x9d
    0f05               # syscall
    # r15 = open(REPORT, O_WRONLY | O_CLOEXEC)
    bf{report}         # mov edi, 0x400200
    be01000800         # mov esi, 0x80001
    b802000000         # mov eax, 0x2
    0f05               # syscall
    4989c7             # mov r15, rax
    # write(r15, ">", 1)
    6a3e               # push 0x3e
    4c89ff             # mov rdi, r15
    4889e6             # mov rsi, rsp
    ba01000000         # mov edx, 0x1
    b801000000         # mov eax, 0x1
    0f05               # syscall
    # open(GO, O_RDONLY | O_CLOEXEC), which waits until somebody opens the other end
    bf{go}             # mov edi, 0x400280
    be00000800         # mov esi, 0x80000
    b802000000         # mov eax, 0x2
    0f05               # syscall
    # whether chdir worked; ioctl(0, TIOCNOTTY): the terminal is the program's to take
    4885ed             # test rbp, rbp
    0f85b5000000       # jne fail
    31ff               # xor edi, edi
    be22540000         # mov esi, 0x5422
    b810000000         # mov eax, 0x10
    0f05               # syscall
    # seccomp(SECCOMP_SET_MODE_FILTER, 0, the filter)
    bf01000000         # mov edi, 0x1
    31f6               # xor esi, esi
    ba{filter}         # mov edx, 0x400240
    b83d010000         # mov eax, 0x13d
    0f05               # syscall
    4889c5             # mov rbp, rax
    4885ed             # test rbp, rbp
    0f8588000000       # jne fail
    # fork()
    b839000000         # mov eax, 0x39
    0f05               # syscall
    4889c5             # mov rbp, rax
    4885ed             # test rbp, rbp
    7879               # js fail
    7458               # je child
    # the first process: wait4(-1, status, 0, 0) until it was the program
    4889c3             # mov rbx, rax
    4883cfff           # again: or rdi, 0xffffffffffffffff
    4889e6             # mov rsi, rsp
    31d2               # xor edx, edx
    4531d2             # xor r10d, r10d
    b83d000000         # mov eax, 0x3d
    0f05               # syscall
    4839d8             # cmp rax, rbx
    75e8               # jne again
    # its status, or 128 + signal
    8b3c24             # mov edi, dword [rsp]
    89f8               # mov eax, edi
    83e07f             # and eax, 0x7f
    7408               # je exited
    8db880000000       # lea edi, [rax+0x80]
    eb09               # jmp end
    c1ef08             # exited: shr edi, 0x8
    81e7ff000000       # and edi, 0xff
    # write(r15, "=" and that, 2), then pause() for good
    c1e708             # end: shl edi, 0x8
    83cf3d             # or edi, 0x3d
    57                 # push rdi
    4c89ff             # mov rdi, r15
    4889e6             # mov rsi, rsp
    ba02000000         # mov edx, 0x2
    b801000000         # mov eax, 0x1
    0f05               # syscall
    b822000000         # asleep: mov eax, 0x22
    0f05               # syscall
    ebf7               # jmp asleep
    # the program: execve(candidate, r14, r12) until one can be
    498b7d00           # child: mov rdi, qword [r13+0x0]
    4983c508           # add r13, 0x8
    4885ff             # test rdi, rdi
    7412               # je fail
    4c89f6             # mov rsi, r14
    4c89e2             # mov rdx, r12
    b83b000000         # mov eax, 0x3b
    0f05               # syscall
    4889c5             # mov rbp, rax
    ebe1               # jmp child
    # write(r15, "!" and the error's number, 2), exit_group(127)
    c1e508             # fail: shl ebp, 0x8
    83cd21             # or ebp, 0x21
    55                 # push rbp
    4c89ff             # mov rdi, r15
    4889e6             # mov rsi, rsp
    ba02000000         # mov edx, 0x2
    b801000000         # mov eax, 0x1
    0f05               # syscall
    bf7f000000         # mov edi, 0x7f
    b8e7000000         # mov eax, 0xe7
    0f05               # syscall
"""


def words(spec: SandboxSpec) -> list[str]:
    """Return the arguments that have it start the program of a sandbox in its folder."""
    variables = [f"{key}={value}" for key, value in spec.env.items()]
    return [*variables, "", spec.cwd, *spec.candidates, "", *spec.argv]


def program() -> bytes:
    """Return the executable file. The filter is the very one that bubblewrap is given."""
    rules, data = seccomp.program(), Data()
    addresses = {
        "{report}": data.text(REPORT.encode()),
        "{go}": data.text(GO.encode()),
        "{filter}": data.put(struct.pack(_FILTER_OF, len(rules) // 8, data.put(rules))),
    }
    code = re.sub(r"#.*", "", _LISTING)
    for name, address in addresses.items():
        code = code.replace(name, struct.pack("<I", address).hex())
    return executable(data.content, bytes.fromhex(code))
