"""Image → what a program of it sees in its sandbox: the image, its repository as a private copy, inputs, a folder to write."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reprolake_builder.container_engine import Layer
from reprolake_builder.errors import BuildError
from reprolake_builder.image import ENTRY_POINT, HOME, REPOSITORY, START, USER, Image
from reprolake_builder.rootfs import write_layer
from reprolake_builder.sandboxes.interface import Bind, CopyOnWrite, ImageRoot, Limits, SandboxSpec
from reprolake_builder.store import Store
from reprolake_runner.placement import DATA

OUTPUT = "/out"
OUTPUT_VARIABLE = "REPROLAKE_OUTPUT"


@dataclass(frozen=True, slots=True)
class Places:
    """What a program sees, as host folders: `output` it may write to, `inputs` it may read; `gpus` as in SandboxSpec.

    `entry` is what every command of the image is given to, () where it starts by itself.
    """

    root: ImageRoot
    view: CopyOnWrite
    output: Path
    inputs: Path | None
    gpus: str = ""
    entry: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Program:
    """What runs: `env` is all of the environment but HOME and REPROLAKE_OUTPUT, `cwd` and the targets are sandbox paths."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    binds: tuple[Bind, ...] = ()


def inside(places: Places, program: Program, limits: Limits) -> SandboxSpec:
    """Return the sandbox of a program of the image."""
    binds = [*program.binds, Bind(places.output, OUTPUT, writable=True)]
    if places.inputs is not None:
        binds.append(Bind(places.inputs, DATA))
    return SandboxSpec(
        root=places.root,
        argv=(*places.entry, *program.argv),
        env={**program.env, "HOME": HOME, OUTPUT_VARIABLE: OUTPUT},
        cwd=program.cwd,
        binds=tuple(binds),
        copy_on_write=places.view,
        uid=USER[0],
        gid=USER[1],
        home=HOME,
        limits=limits,
        gpus=places.gpus,
    )


def entry_of(image: Image) -> tuple[str, ...]:
    """Return what starts the image's programs: its entry point, where the repository has a script of its own for that."""
    return (ENTRY_POINT,) if START in image.annotations else ()


def root_of(image: Image, store: Store) -> ImageRoot:
    """Return the image as the root of a sandbox. Raises BuildError when the store lacks a tree of it."""
    layers = (
        Layer(layer.diff_id, layer.size, functools.partial(write_layer, image, layer, store))
        for layer in image.layers
    )
    return ImageRoot(trees_of(image, store), tuple(layers))


def trees_of(image: Image, store: Store) -> tuple[Path, ...]:
    """Return the host folders of the image's trees, lowest first. Raises BuildError when the store lacks one."""
    found = []
    for key in image.trees:
        tree = store.tree(key)
        if tree is None:
            raise BuildError(
                f"the store {store.root} lacks the tree {key[:12]} of the image {image.id}",
                hint="build the image again: what is still there is used",
            )
        found.append(tree.root)
    return tuple(found)


def repository_of(image: Image, trees: tuple[Path, ...]) -> Path:
    """Return the host folder of the image's own copy of the repository. Raises BuildError when there is none."""
    for tree in reversed(trees):
        folder = tree / REPOSITORY.strip("/")
        if folder.is_dir() and not folder.is_symlink():
            return folder
    raise BuildError(f"the image {image.id} holds no repository at {REPOSITORY}")
