"""Lock files of conda's tools: which one is obeyed, and where it disagrees with what it was made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from reprolake_builder.conda.lock_files import CondaLockFile
from reprolake_builder.conda.lock_formats import read_conda_lock, read_explicit, read_pixi_lock
from reprolake_builder.conda.versions import split_spec
from reprolake_builder.declarations.environment_yml import NO_CHANNELS, read_conda
from reprolake_builder.declarations.heard import Given, Heard, join
from reprolake_builder.declarations.pixi import read_pixi
from reprolake_builder.declarations.precedence import beside_lock, misunderstood, named_lock, one_of_two
from reprolake_builder.declarations.requirements import RequirementsReader, read_requirements
from reprolake_builder.declarations.unheard import CONDA_LOCKS, ENVIRONMENT_YML, PIXI_TOML
from reprolake_builder.documents.environment import Asked, CondaAsked, CondaPin, UnheardFile
from reprolake_builder.errors import DetectError
from reprolake_builder.lock_files.reading import instead
from reprolake_builder.process import printable

_PLAIN = (".txt", ".lock")


def find_locks(given: Given, folder: str) -> tuple[str, ...]:
    """Return the paths of the lock files in a folder, the one to obey first. Raises DetectError where that cannot be told."""
    names = given.tree.names(folder)
    found = [join(folder, name) for name in CONDA_LOCKS if name in names]
    found = [path for path in found if given.has(path) and _is_lock(given, path)]
    if found:
        return tuple(found)
    return named_lock(given, folder, "*.conda-lock.yml")


def read_locks(given: Given, folder: str, paths: Sequence[str], declared_in: Sequence[str]) -> Heard:
    """Return what the first of the lock files says, and where it says other than the files that it was made of.

    `declared_in` are the paths of environment.yml. Raises DetectError.
    """
    lock = _read(given, paths[0])
    declared = _declared(given, folder, lock, declared_in)
    specs = _specs(declared)
    asked = CondaAsked(
        channels=tuple(Asked(text=text, origin=lock.path) for text in lock.channels),
        specs=specs,
        obeyed=lock.path,
        tool=lock.tool,
        pins=lock.pins,
    )
    places = _places(given, lock, declared)
    beside = (*declared_in, join(folder, PIXI_TOML), join(folder, "requirements.txt"))
    unmet = (*_unmet(lock, declared), *_unplaced(lock, declared, places))
    unheard = [_disagreement(lock, name, reason) for name, reason in unmet]
    unheard += [item for item in declared.unheard if item.reason != NO_CHANNELS]
    unheard += [_other_lock(given, path, lock) for path in paths[1:]]
    unheard += [
        _beside(given, path, lock) for path in beside if given.has(path) and path not in declared.files
    ]
    return (
        Heard(
            files=(lock.path, *declared.files),
            unheard=tuple(unheard),
            conda=(asked,),
            variables=declared.variables,
            requirements=lock.pip,
            own=declared.own,
        )
        + places
    )


def _declared(given: Given, folder: str, lock: CondaLockFile, declared_in: Sequence[str]) -> Heard:
    """Return what the file asks for that the lock was made of."""
    if lock.tool == "pixi":
        manifest = join(folder, PIXI_TOML)
        return read_pixi(given, manifest) if given.has(manifest) else Heard()
    return read_conda(given, declared_in[0]) if declared_in else Heard()


def _read(given: Given, path: str) -> CondaLockFile:
    with instead(path):
        text = given.read_lock(path)
        if path.endswith("pixi.lock"):
            return read_pixi_lock(text, path)
        return read_explicit(text, path) if path.endswith(_PLAIN) else read_conda_lock(text, path)


def _is_lock(given: Given, path: str) -> bool:
    """Whether a text file is a list of conda packages: many are called like that."""
    if not path.endswith(_PLAIN) or path.endswith("pixi.lock"):
        return True
    try:
        return any(line.strip() == "@EXPLICIT" for line in given.read_lock(path).splitlines())
    except DetectError:
        return False  # too large, or no text at all


def _specs(declared: Heard) -> tuple[Asked, ...]:
    """Return what environment.yml asks of conda, also where conda is not needed for that."""
    if declared.conda:
        return declared.conda[0].specs
    return tuple(Asked(text=f"python {item.text}", origin=item.origin) for item in declared.python)


def _places(given: Given, lock: CondaLockFile, declared: Heard) -> Heard:
    """Return what comes from git repositories or folders: as the lock has it, or as declared where it has none of it."""
    if not lock.places:
        return Heard(sources=declared.sources)
    reader = RequirementsReader(given)
    for item in lock.places:
        reader.take(lock.path, 1, item.text)
    found = reader.heard()
    return Heard(sources=found.sources, own=() if declared.own else found.own)


def _other_lock(given: Given, path: str, over: CondaLockFile) -> UnheardFile:
    """Return what is to be known of a lock file over which another one stands."""
    try:
        other = _read(given, path)
    except DetectError as error:
        return misunderstood(path, over.path, error)
    return one_of_two(path, over.path, same=_pinned(other) == _pinned(over))


def _pinned(lock: CondaLockFile) -> set[str]:
    """Return what a lock pins, wherever the channels are said to be."""
    return {pin.filename for pin in lock.pins} | {item.text for item in (*lock.pip, *lock.places)}


def _beside(given: Given, path: str, lock: CondaLockFile) -> UnheardFile:
    """Return what is to be known of a declaration over which the lock stands: whether the lock has all that it asks for."""
    name = path.rpartition("/")[2]
    try:
        if name in ENVIRONMENT_YML:
            other = read_conda(given, path)
        else:
            other = read_pixi(given, path) if name == PIXI_TOML else read_requirements(given, path)
    except DetectError as error:
        return misunderstood(path, lock.path, error)
    missing = [reason for _, reason in _unmet(lock, other)]
    origins = [item.origin for item in other.sources] + [item.origin for item in other.own]
    missing += [f"{origin} asks for what {lock.path} does not tell of" for origin in origins]
    return beside_lock(path, lock.path, missing)


def _unmet(lock: CondaLockFile, declared: Heard) -> Iterator[tuple[str, str]]:
    """Yield names of what is asked for and not held, and what the lock has instead."""
    held = {name: (pin, version, build) for pin in lock.pins for name, version, build in (_parts(pin),)}
    for item in _specs(declared):
        spec = split_spec(item.text)
        if spec is None:
            continue
        found = held.get(spec.name)
        if found is None:
            yield spec.name, f"{item.origin} asks for {item.text}, and {lock.path} does not have it"
        elif not _matches(item.text, *found):
            yield spec.name, f"{item.origin} asks for {item.text}, and {lock.path} has {found[1]} {found[2]}"
    versions = {name: version for name, (_, version, _) in held.items()}
    versions |= {name: version for item in lock.pip for name, _, version in (item.text.partition("=="),)}
    for item in declared.requirements:
        wanted = Requirement(item.text)
        name = canonicalize_name(wanted.name)
        if name not in versions:
            yield name, f"{item.origin} asks for {item.text}, and {lock.path} does not have it"
        elif not _allows(wanted.specifier, versions[name]):
            yield name, f"{item.origin} asks for {item.text}, and {lock.path} has {versions[name]}"


def _unplaced(lock: CondaLockFile, declared: Heard, places: Heard) -> Iterator[tuple[str, str]]:
    """Yield what is asked for by where it is, and not among what the lock has like that."""
    held = {(source.url.removesuffix(".git"), source.folder) for source in places.sources}
    for asked in declared.sources:
        if (asked.url.removesuffix(".git"), asked.folder) not in held:
            place = asked.url or asked.folder
            reason = f"{asked.origin} asks for {place}, and {lock.path} does not have it"
            yield asked.name or place.rpartition("/")[2], reason


def _allows(specifier: SpecifierSet, version: str) -> bool:
    """Whether a version is in a set; one that only conda understands says nothing here."""
    try:
        return specifier.contains(Version(version), prereleases=True)
    except ValueError:
        return True


def _disagreement(lock: CondaLockFile, name: str, reason: str) -> UnheardFile:
    return UnheardFile(path=f"{lock.path}#{name}", reason=printable(reason), matters=True)


def _parts(pin: CondaPin) -> tuple[str, str, str]:
    """Return name, version and build by the file name: none of the latter two holds a dash."""
    stem = pin.filename.removesuffix(".conda").removesuffix(".tar.bz2")
    name, version, build = [*stem.rsplit("-", 2), "", ""][:3]
    return name, version, build


def _matches(text: str, pin: CondaPin, version: str, build: str) -> bool:
    """Whether a package is what a specification asks for; what the solver does not understand says nothing here."""
    import rattler
    from rattler.exceptions import ConversionError, InvalidMatchSpecError, InvalidVersionError

    try:
        record = rattler.PackageRecord(_parts(pin)[0], version, rattler.BuildString(build), 0, pin.subdir)
        return rattler.MatchSpec(text).matches(record)
    except (ConversionError, InvalidMatchSpecError, InvalidVersionError, ValueError):
        return True
