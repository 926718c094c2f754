"""The result as an RO-Crate: what ran, on what, with which parameters, in which image, and what came out.

Written as plain JSON-LD. Source: RO-Crate 1.1; Process Run Crate and Workflow Run Crate 0.5; Workflow RO-Crate 1.0.
Neither host paths nor credentials get in: only the run record's values and the image's annotations are used.
"""

from __future__ import annotations

import json
import shlex
from typing import Any
from urllib.parse import quote

from reprolake_runner.citing import citation_of, citing_entities, citing_fields
from reprolake_runner.contents import Contents, Kept, Role
from reprolake_runner.documents.run import CommandSpec, Parameter, RunRecord, RunSpec, StagedInput

_PROCESS_CRATE = "https://w3id.org/ro/wfrun/process/0.5"
_PROFILES = {
    _PROCESS_CRATE: ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": ("Workflow RO-Crate", "1.0"),
}
_WORKFLOW_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
_CONTEXT = ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"]
_FORMAL_PARAMETER = "https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE"
_COMPUTATIONAL_WORKFLOW = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
_SOURCE = "org.opencontainers.image.source"
_REVISION = "org.opencontainers.image.revision"
_LANGUAGE = "https://w3id.org/workflowhub/workflow-ro-crate#jupyter"
_JUPYTER = {
    "@id": _LANGUAGE,
    "@type": "ComputerLanguage",
    "name": "Jupyter Notebook",
    "url": {"@id": "https://jupyter.org/"},
    "identifier": {"@id": "https://jupyter.org/"},
}
_TYPES: dict[type, str] = {bool: "Boolean", int: "Integer", float: "Float", str: "Text"}

Entity = dict[str, Any]


def crate(contents: Contents) -> bytes:
    """Return the text of ro-crate-metadata.json, ending in a newline."""
    spec = contents.record.spec
    given = spec.parameters.parameters if isinstance(spec, RunSpec) else ()
    parameters = [entity for one in given for entity in _parameter(one)]
    program = _command(spec) if isinstance(spec, CommandSpec) else _workflow(contents, parameters)
    inputs = [_input(one) for one in spec.inputs]
    files = [_file(kept) for kept in contents.files if kept.role != "source"]
    is_command = isinstance(spec, CommandSpec)
    graph = [
        {
            "@id": "ro-crate-metadata.json",
            "@type": "CreativeWork",
            "about": {"@id": "./"},
            "conformsTo": [
                {"@id": "https://w3id.org/ro/crate/1.1"},
                *([] if is_command else [{"@id": _WORKFLOW_CRATE}]),
            ],
        },
        _root(contents, program, [*files, *inputs]),
        *(
            {"@id": uri, "@type": "CreativeWork", "name": _PROFILES[uri][0], "version": _PROFILES[uri][1]}
            for uri in _profiles(contents)
        ),
        program,
        *([] if is_command else [_JUPYTER]),
        _source(contents),
        _image(contents),
        _action(contents, program, parameters, inputs),
        *citing_entities(citation_of(contents.annotations)),
        *parameters,
        *inputs,
        *files,
    ]
    return json.dumps({"@context": _CONTEXT, "@graph": graph}, indent=2, ensure_ascii=False).encode() + b"\n"


def _profiles(contents: Contents) -> tuple[str, ...]:
    """Return what the crate conforms to: a command is no workflow."""
    return (_PROCESS_CRATE,) if isinstance(contents.record.spec, CommandSpec) else tuple(_PROFILES)


def _root(contents: Contents, program: Entity, parts: list[Entity]) -> Entity:
    record = contents.record
    root: Entity = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"Run of {record.spec.name}: {record.status}",
        "description": record.message,
        "datePublished": record.ended.isoformat(timespec="milliseconds"),
        "license": "No licence was stated for these results; ask the person who shared them",
        "conformsTo": [{"@id": uri} for uri in _profiles(contents)],
        "mentions": {"@id": _run(contents)},
        "hasPart": [{"@id": one["@id"]} for one in parts if _is_data(one)],
    }
    if isinstance(record.spec, RunSpec):
        root["mainEntity"] = {"@id": program["@id"]}
        root["hasPart"] = [{"@id": program["@id"]}, *root["hasPart"]]
    if contents.expires is not None:
        root["expires"] = contents.expires.isoformat()
    return root


def _is_data(entity: Entity) -> bool:
    return bool(entity["@type"] == "File")


def _command(spec: CommandSpec) -> Entity:
    """Return the program that ran; with which arguments is said of the action."""
    return {
        "@id": "#program",
        "@type": "SoftwareApplication",
        "name": spec.argv[0],
        "isPartOf": {"@id": "#image"},
    }


def _workflow(contents: Contents, parameters: list[Entity]) -> Entity:
    record = contents.record
    notes = contents.annotations
    (notebook,) = contents.of("source")
    workflow: Entity = {
        "@id": _uri(notebook.path),
        "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
        "conformsTo": {"@id": _COMPUTATIONAL_WORKFLOW},
        "name": record.spec.name,
        "encodingFormat": notebook.media_type,
        "contentSize": str(notebook.size),
        "sha256": notebook.sha256,
        "programmingLanguage": {"@id": _LANGUAGE},
        "isPartOf": {"@id": "#source"},
        "version": notes.get(_REVISION) or f"sha256:{notebook.sha256}",
        "input": [{"@id": one["@id"]} for one in parameters if one["@type"] == "FormalParameter"],
    }
    if _SOURCE in notes:
        workflow["url"] = notes[_SOURCE]
    return workflow | citing_fields(citation_of(notes), "creator")


def _parameter(parameter: Parameter) -> tuple[Entity, Entity]:
    """Return what the notebook takes under this name, and what it was given."""
    value = parameter.value
    known = isinstance(value, bool | int | float | str)
    formal = {
        "@id": f"#parameter-{parameter.name}",
        "@type": "FormalParameter",
        "name": parameter.name,
        "additionalType": _TYPES.get(type(value), "Text"),
        "conformsTo": {"@id": _FORMAL_PARAMETER},
    }
    given = {
        "@id": f"#value-{parameter.name}",
        "@type": "PropertyValue",
        "name": parameter.name,
        "value": value if known else json.dumps(value, ensure_ascii=False),
        "description": f"given by {parameter.origin}",
        "exampleOfWork": {"@id": formal["@id"]},
    }
    return formal, given


def _input(staged: StagedInput) -> Entity:
    """Return an input: a file of the web by its URL, one of the host, which nobody else can reach, by its hash."""
    on_the_web = staged.source.startswith(("https://", "http://"))
    return {
        "@id": staged.source if on_the_web else f"#input-{staged.sha256}-{quote(staged.name, safe='')}",
        "@type": "File" if on_the_web else "CreativeWork",
        "name": staged.name,
        "contentSize": str(staged.size),
        "sha256": staged.sha256,
        "alternateName": staged.path,
    }


def _file(kept: Kept) -> Entity:
    entity = {
        "@id": _uri(kept.path),
        "@type": "File",
        "name": kept.path.rpartition("/")[2],
        "encodingFormat": kept.media_type,
        "contentSize": str(kept.size),
        "sha256": kept.sha256,
    }
    if kept.original:
        entity["alternateName"] = kept.original
    return entity


def _source(contents: Contents) -> Entity:
    """Return the repository. Source of the identifiers: SWHID 1.2, core identifiers of git objects."""
    notes = contents.annotations
    citation = citation_of(notes)
    entity: Entity = {
        "@id": "#source",
        "@type": "SoftwareSourceCode",
        "name": citation.title or "the repository",
    }
    entity |= citing_fields(citation, "author")
    if citation.description:
        entity["description"] = citation.description
    if citation.keywords:
        entity["keywords"] = ", ".join(citation.keywords)
    if citation.published:
        entity["datePublished"] = citation.published
    if citation.citation:
        entity["citation"] = citation.citation
    if url := notes.get(_SOURCE):
        entity["codeRepository"] = url
    identifiers = []
    if commit := notes.get(_REVISION):
        entity["version"] = commit
        identifiers.append(f"swh:1:rev:{commit}")
    if tree := notes.get("reprolake.source.tree"):
        identifiers.append(f"swh:1:dir:{tree}")
    if citation.doi:
        identifiers.append(f"https://doi.org/{citation.doi}")
    if identifiers:
        entity["identifier"] = identifiers if len(identifiers) > 1 else identifiers[0]
    return entity


def _image(contents: Contents) -> Entity:
    digest = contents.record.spec.image
    return {
        "@id": "#image",
        "@type": "ContainerImage",
        "additionalType": {"@id": "https://w3id.org/ro/terms/workflow-run#DockerImage"},
        "name": f"image {digest}",
        "sha256": digest.removeprefix("sha256:"),
        "identifier": digest,
    }


def _action(contents: Contents, program: Entity, parameters: list[Entity], inputs: list[Entity]) -> Entity:
    record = contents.record
    succeeded = record.status == "succeeded"
    values = [one for one in parameters if one["@type"] == "PropertyValue"]
    baskets = [_file(kept) for kept in contents.of("basket")]
    roles: tuple[Role, ...] = ("executed", "output", "created", "changed", "figure")
    # a command's own words are what it was run for, as a notebook's are in the executed one
    results = contents.of(*roles, *(("log",) if isinstance(record.spec, CommandSpec) else ()))
    action: Entity = {
        "@id": _run(contents),
        "@type": "CreateAction",
        "name": f"Run {record.id} of {record.spec.name}",
        "description": _told(record),
        "instrument": {"@id": program["@id"]},
        "object": [{"@id": one["@id"]} for one in (*values, *inputs, *baskets)],
        "result": [{"@id": _uri(kept.path)} for kept in results],
        "startTime": record.started.isoformat(timespec="milliseconds"),
        "endTime": record.ended.isoformat(timespec="milliseconds"),
        "actionStatus": f"http://schema.org/{'Completed' if succeeded else 'Failed'}ActionStatus",
        "containerImage": {"@id": "#image"},
        "identifier": record.key,
    }
    if not succeeded:
        action["error"] = record.message
    return action


def _told(record: RunRecord) -> str:
    """Return what is to be said of the run: its message, and of a command all its words."""
    if isinstance(record.spec, CommandSpec):
        return f"{shlex.join(record.spec.argv)}: {record.message}"
    return record.message


def _run(contents: Contents) -> str:
    return f"#run-{contents.record.id}"


def _uri(path: str) -> str:
    return quote(path)
