"""Crates of staged results pass the validator of the profiles that they claim, offline."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from outcomes import error_output, image_output, notebook_with, outcome, png

from reprolake_runner.documents.run import CommandSpec
from reprolake_runner.stage_out import Staging, stage_out

CONTEXT = Path(__file__).parent / "data" / "ro-crate-1.1-context.jsonld"
TERMS = "https://w3id.org/ro/terms/workflow-run#"
WORKFLOW_RUN_TERMS = [
    "ParameterConnection", "ContainerImage", "DockerImage", "SIFImage", "connection", "sourceParameter", "targetParameter",
    "md5", "sha1", "sha256", "sha512", "environment", "registry", "tag", "containerImage", "resourceUsage",
]  # fmt: skip
FILL_CACHE = """
import io, json, sys
from requests import Request, Response
from requests_cache import CachedSession
from urllib3.response import HTTPResponse
session = CachedSession(cache_name=sys.argv[1], backend="sqlite", expire_after=-1)
for url, path in zip(sys.argv[2::2], sys.argv[3::2]):
    body = open(path, "rb").read()
    for headers in ({}, {"Accept": "application/ld+json, application/json"}):
        answer = Response()
        answer.status_code, answer.reason, answer.url, answer.encoding = 200, "OK", url, "utf-8"
        answer.request = Request("GET", url, headers=headers).prepare()
        answer.headers["Content-Type"] = "application/ld+json"
        answer._content = body
        answer.raw = HTTPResponse(io.BytesIO(body), dict(answer.headers), 200, preload_content=False, request_url=url)
        session.cache.save_response(answer)
"""


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """A cache that holds the contexts, so that nothing is fetched."""
    folder = tmp_path_factory.mktemp("contexts")
    (folder / "run.jsonld").write_text(
        json.dumps({"@context": {name: TERMS + name for name in WORKFLOW_RUN_TERMS}})
    )
    subprocess.run(
        [
            sys.executable, "-c", FILL_CACHE, folder / "cache",
            "https://w3id.org/ro/crate/1.1/context", CONTEXT,
            "https://w3id.org/ro/terms/workflow-run/context", folder / "run.jsonld",
        ],
        check=True,
    )  # fmt: skip
    return folder / "cache"


def validate(folder, cache, profile):
    program = Path(sys.executable).parent / "rocrate-validator"
    done = subprocess.run(
        [
            program, "-y", "validate", "--offline", "--cache-path", cache, "-p", profile, "-l", "required", "-f", "json",
            "-o", cache.parent / "report.json", folder,
        ],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def staged(tmp_path, **changes):
    run = outcome(tmp_path / "run", executed=notebook_with(image_output(png()), error_output()), **changes)
    (run.output / "spectra").mkdir()
    (run.output / "spectra" / "über 50%#1.csv").write_text("1\n")
    (run.upper / "made.txt").write_text("1")
    return stage_out(run, Staging(tmp_path / "stage")).folder


@pytest.mark.parametrize(
    "changes", [{}, {"status": "failed", "message": "cell In [1] raised ValueError"}], ids=["ok", "failed"]
)
def test_a_staged_result_is_a_valid_workflow_run_crate(tmp_path, cache, changes):
    """Results of runs that went well and of those that did not pass every required check of Workflow Run Crate 0.5."""
    code, said = validate(staged(tmp_path, **changes), cache, "workflow-run-crate")
    assert code == 0, said


def test_the_result_of_a_command_is_a_valid_process_run_crate(tmp_path, cache):
    """A command is no workflow: its result passes every required check of Process Run Crate 0.5."""
    spec = CommandSpec(image="sha256:" + "ab" * 32, argv=("python", "fit.py", "--bins", "20"))
    run = outcome(tmp_path / "run", spec=spec, kernel="", cells=(), exit_status=0)
    (run.output / "fit.txt").write_text("1")
    run = replace(run, notebook=None, printed={"stdout.txt": run.printed["log.txt"]})
    folder = stage_out(run, Staging(tmp_path / "stage")).folder
    code, said = validate(folder, cache, "process-run-crate")
    assert code == 0, said


def test_the_validator_would_find_a_fault(tmp_path, cache):
    """The same crate without its instrument does not pass: the check above can fail."""
    folder = staged(tmp_path)
    path = folder / "ro-crate-metadata.json"
    text = json.loads(path.read_text())
    for entity in text["@graph"]:
        entity.pop("instrument", None)
    path.write_text(json.dumps(text))
    assert validate(folder, cache, "workflow-run-crate")[0] != 0
