"""What is understood of maintainer scripts, and what is reported because it is not."""

import pytest

from reprolake_builder.debs.scripts import Alternative, Link, read_postinst


def others(*lines: str) -> tuple[str, ...]:
    """Return the commands of a shell script that nothing stands in for."""
    return read_postinst("\n".join(("#!/bin/sh", "set -e", *lines, "exit 0")).encode())[1]


def test_no_script_does_nothing():
    """Most packages have none."""
    assert read_postinst(b"") == ((), ())


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
    text = "# Automatically added by dh_ucf\nucf --three-way /a /b\n# End automatically added section"
    assert others(text) == ("ucf --three-way /a /b",)


@pytest.mark.parametrize("script", [b"#!/usr/bin/perl\nprint 1;\n", b"\x7fELF\0", b"set -e\n"])
def test_scripts_in_other_languages_are_reported(script):
    """What is no shell script is not understood."""
    assert len(read_postinst(script)[1]) == 1


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
    assert read_postinst(text.encode()) == ((expected,), ("if true",))
