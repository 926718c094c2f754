"""What is understood of maintainer scripts, and what is reported because it is not."""

import pytest

from reprolake_builder.debs.scripts import Alternative, Copy, Link, Postinst, read_postinst


def others(*lines: str) -> tuple[str, ...]:
    """Return the commands of a shell script that nothing stands in for."""
    return read_postinst("\n".join(("#!/bin/sh", "set -e", *lines, "exit 0")).encode()).others


def test_no_script_does_nothing():
    """Most packages have none."""
    assert read_postinst(b"") == Postinst()


@pytest.mark.parametrize(
    "text",
    [
        'case "$1" in\n  configure)\n    ldconfig\n  ;;\n  abort-upgrade|abort-remove|abort-deconfigure)\n  ;;\n'
        '  *)\n    echo "postinst called with unknown argument \\`$1\'" >&2\n    exit 1\n  ;;\nesac',
        "# Automatically added by dh_python3\nif which py3compile >/dev/null 2>&1; then\n  py3compile -p x\nfi\n"
        "# End automatically added section",
        "# Automatically added by dh_installsystemd/13.11.4\ndeb-systemd-helper enable x\n# End automatically added section",
        'if [ "$1" = "configure" ] && [ -x "`which update-mime 2>/dev/null`" ]; then\n update-mime\nfi',
        'if which dpkg-trigger >/dev/null && \\\n [ -n "$2" ] && \\\n true; then\n dpkg-trigger --no-await x\nfi',
        'if [ -n "$2" ]; then\n if [ -e /x ]; then\n  convert\n fi\n migrate\nfi',
        "rm -f /etc/old.conf || true",
    ],
)
def test_scaffolding_is_harmless(text):
    """Branches that do nothing, debhelper's snippets for daemons and menus, and what only an upgrade runs."""
    assert others(text) == ()


@pytest.mark.parametrize(
    "command",
    [
        "fc-cache -s",
        "adduser --system x",
        "ln -s /a /b",
        "rm -f $(find /)",
        "echo x | tee /etc/y",
        "echo x > /etc/y",
        "update-alternatives --install /usr/bin/$prog $prog /usr/bin/$prog-im6 10",
        "systemctl enable x",
    ],
)
def test_commands_are_reported(command):
    """What a script really does is told, with its words."""
    assert others(f'if [ "$1" = configure ]; then {command}; fi') == (command,)


def test_the_other_branch_of_an_upgrade_is_reported():
    """What runs when there was no earlier version is what a fresh image misses."""
    assert others('if [ -n "$2" ]; then', " migrate", "else", " create", "fi", "after") == ("create", "after")


def test_snippets_that_write_are_reported():
    """Only snippets known to matter nothing are passed over."""
    text = "# Automatically added by dh_other\nregister-me /a\n# End automatically added section"
    assert others(text) == ("register-me /a",)


@pytest.mark.parametrize("script", [b"#!/usr/bin/perl\nprint 1;\n", b"\x7fELF\0", b"set -e\n"])
def test_scripts_in_other_languages_are_reported(script):
    """What is no shell script is not understood."""
    assert len(read_postinst(script).others) == 1


def test_literal_alternatives_are_understood():
    """Links, priority and slaves come out of a call that goes over several lines."""
    text = (
        "#!/bin/sh\nif true; then\n  update-alternatives --quiet --install /usr/bin/awk awk /usr/bin/mawk 5 \\\n"
        "    --slave /usr/share/man/man1/awk.1.gz awk.1.gz /usr/share/man/man1/mawk.1.gz \\\n"
        '    --slave "/usr/bin/nawk" nawk /usr/bin/mawk || true\nfi\nupdate-alternatives --remove old /usr/bin/old\n'
    )
    expected = Alternative(
        Link("/usr/bin/awk", "awk", "/usr/bin/mawk"),
        5,
        (
            Link("/usr/share/man/man1/awk.1.gz", "awk.1.gz", "/usr/share/man/man1/mawk.1.gz"),
            Link("/usr/bin/nawk", "nawk", "/usr/bin/mawk"),
        ),
    )
    assert read_postinst(text.encode()) == Postinst((expected,), others=("if true",))


def alternatives(*lines: str) -> list[tuple[str, str]]:
    """Return link and path of what a script installs."""
    found = read_postinst("\n".join(("#!/bin/sh", *lines)).encode()).alternatives
    return [(one.master.link, one.master.path) for one in found]


def test_alternatives_in_a_literal_loop_are_understood():
    """Constants and the words of a loop are filled in; each turn installs one."""
    script = (
        "base=/usr/lib/x",
        "tools='a b'",
        "for i in $tools; do",
        "  update-alternatives --install /usr/bin/$i $i ${base}/bin/$i 10",
        "done",
    )
    assert alternatives(*script) == [("/usr/bin/a", "/usr/lib/x/bin/a"), ("/usr/bin/b", "/usr/lib/x/bin/b")]


@pytest.mark.parametrize(
    "lines",
    [
        ("p=1", "p=$(expr $p - 1)"),
        ("p=1", "p=2"),
        ("for p in 1 2 *", "do", "true", "done"),
        ("p=$(cat /x)",),
        ("p=1 command",),
    ],
)
def test_what_may_have_other_values_is_not_filled_in(lines):
    """A variable with two values, or one that is computed, is none that could be told."""
    assert alternatives(*lines, "update-alternatives --install /usr/bin/a a /usr/bin/b $p") == []


def test_a_bomb_of_nested_loops_has_no_reading():
    """Loops that multiply to more turns than anybody writes are reported and not run through."""
    words = " ".join("abcdefghij")
    loops = [f"for v{n} in {words}; do" for n in range(20)]
    call = "update-alternatives --install /usr/bin/$v1 $v1 /usr/lib/$v1 1"
    assert call in others(*loops, call, *["done"] * 20)


def copies(*lines: str) -> tuple[Copy, ...]:
    """Return what a script copies."""
    return read_postinst("\n".join(("#!/bin/sh", *lines)).encode()).copies


@pytest.mark.parametrize(
    "lines",
    [
        ("ucf /usr/share/x/a /etc/a",),
        ("/usr/bin/ucf --three-way --sum-file /x/sums /usr/share/x/a /etc/a || true",),
        ('ucf --debconf-ok "/usr/share/x/a" "/etc/a" >/dev/null 2>&1',),
        ("for f in a; do ucf /usr/share/x/$f /etc/$f; done",),
        (
            "made=$(mktemp)",
            'cat /usr/share/x/a > "$made"',
            'sed -i s/a/b/ "$made"',
            'ucf "$made" /etc/a',
            "ucfr x /etc/a",
        ),
    ],
    ids=["bare", "options", "quotes", "loop", "temporary"],
)
def test_copies_of_configuration_files_are_understood(lines):
    """The file of the package that a configuration file begins as is told, with options, in loops, by way of a temporary."""
    assert copies(*lines) == (Copy("/usr/share/x/a", "/etc/a"),)


@pytest.mark.parametrize(
    "call",
    [
        "ucf $made /etc/a",
        "ucf relative /etc/a",
        "ucf /usr/share/$x /etc/a",
        "ucf --purge /etc/a",
        "ucf /a 'b",
    ],
)
def test_copies_that_cannot_be_told_are_reported(call):
    """What is copied has to stand there."""
    assert copies(call) == ()
    assert others(call) == (call,)
