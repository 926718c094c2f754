"""What a package's postinst would do, as far as it can be told without running it.

Most scripts are scaffolding around nothing, or snippets of debhelper that concern running daemons, menus and upgrades.
Literal calls of update-alternatives and of ucf are understood; whatever else a script does is reported, not guessed.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from reprolake_builder.debs.literals import readings

_SECTION = re.compile(
    r"^# Automatically added by (dh_\w+)[^\n]*\n.*?^# End automatically added section[^\n]*$",
    re.MULTILINE | re.DOTALL,
)
# These write nothing that an unpacked tree misses: daemons, menus and desktop caches, upgrades from older versions, byte
# code of Debian's own Python modules (Python makes that itself), and the library cache (made for the whole tree).
_HARMLESS_SECTIONS = frozenset(
    {
        "dh_apparmor",
        "dh_icons",
        "dh_installdeb",
        "dh_installdebconf",
        "dh_installemacsen",
        "dh_installinfo",
        "dh_installinit",
        "dh_installmenu",
        "dh_installmime",
        "dh_installsystemd",
        "dh_installsystemduser",
        "dh_installudev",
        "dh_installwm",
        "dh_makeshlibs",
        "dh_python2",
        "dh_python3",
        "dh_systemd_enable",
        "dh_systemd_start",
    }
)
_HARMLESS = re.compile(
    r"""
      (?: set\s+[-+][a-z]+ | exit(?:\s+\S+)? | true | : | esac | fi | else | then | do | done | \{ | \} | return(?:\s+\d)?
        | case\s+"?\$\{?1\}?"?\s+in
        | \(?\s*"?[a-z*-]+"?(?:\s*\|\s*"?[a-z-]+"?)*\s*\)              # a branch: abort-upgrade|abort-remove)
        | (?:if|elif)\s+(?:\[|test\b)(?:`which\s[^`]*`|[^`])*
        | (?:if|elif)\s+(?:which|command\s+-v|type)\s+\S+
        | (?:if|elif)\s+dpkg\s+--compare-versions\s[^`;|]*
        | echo\b(?:\\`|[^`|>$]|\$[^(])*
        | (?:/sbin/)?ldconfig
        | \.\s+/usr/share/debconf/confmodule | db_version\s+\S+ | db_stop | db_purge
        | rm\s+-r?f\s(?:[^`|>$]|\$[^(])*
        | rmdir\s(?:[^`|>$]|\$[^(])*
        | (?:/usr/bin/)?dpkg-maintscript-helper\s.*
        | update-mime | ucfr\s.*
        | py3?compile\s.* | py3?clean\s.*
      )
      (?:\s*(?:\|\||&&)\s*(?:true|:|exit\s+\d))?
      (?:\s*[12]?>{1,2}\s*(?:/dev/null|&[12]))*
    """,
    re.VERBOSE,
)


_UCF = re.compile(r"(?:/usr/bin/)?ucf\s")
_UCF_VALUES = frozenset({"-s", "--src-dir", "--sum-file", "--state-dir"})
_ENDS = re.compile(r"\|\||&&|\d?>")
_TEMPORARY = re.compile(r"\$\{?(\w+)\}?")
_UPGRADE = re.compile(r"""(?:\[|test)\s+(?:-n\s+"?\$2"?|"?\$2"?\s+!=\s+"")""")


class Link(NamedTuple):
    """A generic name: `link` leads, by way of `name` in /etc/alternatives, to `path`."""

    link: str
    name: str
    path: str


class Alternative(NamedTuple):
    """One choice for a generic name; the highest priority wins, and its slaves with it."""

    master: Link
    priority: int
    slaves: tuple[Link, ...]


class Copy(NamedTuple):
    """A configuration file at `path` that ucf makes from `source`, a file of the package."""

    source: str
    path: str


class Postinst(NamedTuple):
    """What a postinst does: the alternatives and files that it installs, and the commands that nothing here stands in for."""

    alternatives: tuple[Alternative, ...] = ()
    copies: tuple[Copy, ...] = ()
    others: tuple[str, ...] = ()


def read_postinst(script: bytes) -> Postinst:
    """Return what a postinst does, as far as it can be told from its text."""
    if not script.strip():
        return Postinst()
    text = script.decode("utf-8", "replace")
    first = text.partition("\n")[0]
    if not re.fullmatch(r"#!\s*/bin/(?:ba|da)?sh\b.*", first):
        return Postinst(others=(first,))
    text = _SECTION.sub(lambda found: "" if found[1] in _HARMLESS_SECTIONS else found[0], text)
    alternatives: list[Alternative] = []
    copies: list[Copy] = []
    others: list[str] = []
    lines = text.replace("\\\n", " ").splitlines()
    commands = list(_first_time([command for line in lines for command in _commands(line)]))
    for command, forms in readings(commands):
        if "update-alternatives" in command:
            found = [_alternative(form) for form in forms]
            alternatives += [one for one in found if one is not None]
            is_understood = "--install" not in command or (bool(forms) and None not in found)
        elif _UCF.match(command):
            copied = [_copy(form, commands) for form in forms]
            copies += [one for one in copied if one is not None]
            is_understood = bool(forms) and None not in copied
        else:
            is_understood = _HARMLESS.fullmatch(command) is not None
        if not is_understood:
            others.append(command)
    return Postinst(tuple(alternatives), tuple(copies), tuple(others))


def _first_time(commands: Sequence[str]) -> Iterator[str]:
    """Yield the commands without what only an upgrade runs: then "$2" is the version that was there before."""
    depth = skipped = 0  # how many `if` are open, and which of them began what is skipped
    for command in commands:
        if command.startswith("if "):
            depth += 1
            if not skipped and _UPGRADE.search(command) and "||" not in command:
                skipped = depth
        at_its_end = depth == skipped and command.split()[0] in {"fi", "else", "elif"}
        if not skipped or at_its_end:
            yield command
        if at_its_end:
            skipped = 0
        if command.split()[0] == "fi":
            depth -= 1


def _commands(line: str) -> list[str]:
    """Split a line at its semicolons, without the keywords that may stand before a command."""
    line = line.strip()
    if line.startswith("#"):
        return []
    parts = (part.strip() for part in re.split(r";+", line))
    return [part for part in (re.sub(r"^(?:then|else|do)\s+", "", part) for part in parts) if part]


def _alternative(command: str) -> Alternative | None:
    try:
        words = shlex.split(command, comments=True)
    except ValueError:
        return None
    if "--install" not in words:
        return None
    at = words.index("--install") + 1
    master = words[at : at + 4]
    if len(master) < 4 or not master[3].isdigit():
        return None
    links = [Link(*master[:3])]
    for number, word in enumerate(words):
        if word == "--slave" and len(words) > number + 3:
            links.append(Link(*words[number + 1 : number + 4]))
    if any("$" in word or "`" in word for link in links for word in link):
        return None
    return Alternative(links[0], int(master[3]), tuple(links[1:]))


def _copy(command: str, commands: Sequence[str]) -> Copy | None:
    """Return what a call of ucf copies. A temporary file stands for the one that it was begun as, without later changes.

    Source: ucf(1).
    """
    try:
        words = shlex.split(command, comments=True)[1:]
    except ValueError:
        return None
    names = [
        word
        for before, word in zip(["", *words], words, strict=False)
        if not word.startswith("-") and before not in _UCF_VALUES
    ]
    # what follows are redirections, and what to do when it fails
    if len(names) < 2 or (len(names) > 2 and not _ENDS.match(names[2])):
        return None
    source, path = names[:2]
    if (variable := _TEMPORARY.fullmatch(source)) is not None:
        begun = re.compile(rf"""cat\s+(/[^\s$"'`]+)\s+>\s*"?\$\{{?{variable[1]}\}}?"?""")
        source = next((match[1] for other in commands if (match := begun.fullmatch(other))), "")
    is_plain = all(word.startswith("/") and not {*word} & {*"$`*?["} for word in (source, path))
    return Copy(source, path) if is_plain else None
