"""Groups are the caller's to give: what an image says of its user's gains nothing, whatever isolates it."""

from __future__ import annotations

from sandbox_programs import HOST, layer_of, output, spec

from reprolake_builder.sandboxes.interface import Bind, ImageRoot


def test_an_image_makes_nobody_a_member_of_groups(sandbox, tmp_path):
    """Groups that an image's files give to its user are not the program's, though these files are what is read there."""
    for path, content in (
        ("etc/passwd", "root:x:0:0::/:/bin/sh\njovyan:x:1000:100::/:/bin/sh\n"),
        ("etc/group", "root:x:0:jovyan\ndocker:x:998:jovyan\nusers:x:100:\n"),
    ):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(content)
    for path in (tmp_path, tmp_path / "etc"):
        path.chmod(0o755)
    given = spec(
        ImageRoot((tmp_path,), (layer_of(tmp_path),)),
        "id -Gn jovyan; id -G; grep ^Groups: /proc/self/status; id -g",
        binds=tuple(Bind(path, str(path)) for path in HOST.paths),
    )
    listed, own, held, group = output(sandbox, given)[1].splitlines()
    assert {"root", "docker"} <= set(listed.split())
    assert own == group
    assert set(held.split()[1:]) <= {group}
