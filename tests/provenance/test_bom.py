"""The bill of materials, and the packages in it."""

import importlib.metadata
import json
from email.message import Message
from pathlib import Path

import pytest
from cyclonedx.validation.json import JsonStrictValidator

from qingtan.errors import UserError
from qingtan.provenance import ModelSource, Provenance, Source, Step
from qingtan.provenance.bom import SPEC_VERSION, bill_of_materials
from qingtan.provenance.packages import installed_packages, package_licence

BUILT_IN = Path(__file__).parents[2] / "models/qingtan"
STEP = Step(name="train", date="2026-01-02T03:04:05+08:00", version="1", details={"steps": 3})


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "tuned"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    sources = (
        Source(
            name="诗", licence="MIT", origin="github:a/b@0123abc", documents=5, attribution="Li"
        ),
        Source(name="诗", licence="our own <terms> & such"),
        Source(name="both", licence="GPL-2.0-only OR LicenseRef-own"),
    )
    base = ModelSource(name="ChatGLM3-6B", licence="LicenseRef-ChatGLM3", origin="here")
    Provenance(sources=sources, models=(base,), steps=(STEP, STEP)).write(folder)
    return folder


def assert_valid(text: str) -> None:
    assert JsonStrictValidator(SPEC_VERSION).validate_str(text) is None


def test_it_is_valid_and_names_every_part(model: Path) -> None:
    text = bill_of_materials(model)
    assert_valid(text)
    bom = json.loads(text)
    root = bom["metadata"]["component"]
    assert (root["name"], root["type"]) == ("tuned", "machine-learning-model")
    assert bom["metadata"]["timestamp"] == "2026-01-01T19:04:05+00:00"
    parts = {part["bom-ref"]: part for part in bom["components"]}
    first = parts["source-1"]
    properties = {p["name"]: p["value"] for p in first["properties"]}
    assert first["licenses"] == [{"license": {"id": "MIT"}}]
    assert first["purl"] == "pkg:github/a/b@0123abc"
    assert properties["qingtan:documents"] == "5"
    assert properties["qingtan:attribution"] == "Li"
    assert parts["source-2"]["licenses"][0]["license"]["name"].startswith("LicenseRef-our-own")
    assert parts["source-3"]["licenses"] == [{"expression": "GPL-2.0-only OR LicenseRef-own"}]
    assert parts["model-1"]["type"] == "machine-learning-model"
    depends = {d["ref"]: d.get("dependsOn", []) for d in bom["dependencies"]}
    qingtan = next(part["bom-ref"] for part in parts.values() if part["name"] == "qingtan")
    assert set(depends["root"]) == {"source-1", "source-2", "source-3", "model-1", qingtan}
    assert set(parts) | {"root"} == set(depends)


def test_the_same_record_gives_the_same_bytes(model: Path) -> None:
    first = bill_of_materials(model)
    assert bill_of_materials(model) == first
    record = Provenance.read(model)
    record.with_step(STEP.model_copy(update={"name": "export"})).write(model)
    other = bill_of_materials(model)
    assert json.loads(other)["serialNumber"] != json.loads(first)["serialNumber"]


def test_the_built_in_model_and_a_corpus(tmp_path: Path) -> None:
    text = bill_of_materials(BUILT_IN)
    assert_valid(text)
    kinds = [part["type"] for part in json.loads(text)["components"]]
    assert kinds.count("data") == len(Provenance.read(BUILT_IN).sources)
    Provenance(sources=(Source(name="a", licence=""),)).write(tmp_path)
    corpus = bill_of_materials(tmp_path)
    assert_valid(corpus)
    metadata = json.loads(corpus)["metadata"]
    assert metadata["component"]["type"] == "data"
    assert "timestamp" not in metadata  # no step says when


def test_a_date_that_is_none_is_named(tmp_path: Path) -> None:
    step = STEP.model_copy(update={"date": "yesterday"})
    Provenance(sources=(Source(name="a", licence="MIT"),), steps=(step,)).write(tmp_path)
    with pytest.raises(UserError, match="yesterday"):
        bill_of_materials(tmp_path)


def test_packages_are_walked_with_their_licences() -> None:
    packages = {p.name: p for p in installed_packages("cyclonedx-python-lib")}
    assert packages["cyclonedx-python-lib"].licence == "Apache-2.0"
    assert "boolean-py" in packages["license-expression"].requires
    assert packages["boolean-py"].licence == "BSD-2-Clause"
    # Of an extra that the root's own extra asks for.
    assert "idna" in packages["jsonschema"].requires
    for package in packages.values():
        assert package.version == importlib.metadata.version(package.name)
        assert set(package.requires) <= set(packages)
    assert installed_packages("no-such-distribution-at-all") == []


class Stated(importlib.metadata.Distribution):
    """A distribution that only has metadata."""

    def __init__(self, **fields: str | list[str]) -> None:
        self._message = Message()
        for name, values in fields.items():
            for value in [values] if isinstance(values, str) else values:
                self._message[name.replace("_", "-")] = value

    @property
    def metadata(self) -> Message:
        return self._message

    def read_text(self, filename: str) -> None:
        return None

    def locate_file(self, path: str) -> Path:
        return Path(path)


@pytest.mark.parametrize(
    ("fields", "licence"),
    [
        ({"License_Expression": "MIT", "License": "BSD"}, "MIT"),
        ({"License": "Apache 2.0"}, "Apache-2.0"),
        (
            {
                "License": "Copyright (c) 2020 somebody, and others or so.",
                "Classifier": ["Topic :: Text", "License :: OSI Approved :: MIT License"],
            },
            "MIT",
        ),
        ({"Classifier": ["License :: OSI Approved :: BSD License"]}, "LicenseRef-BSD"),
        ({"Classifier": ["License :: OSI Approved"]}, "LicenseRef-unknown"),
        (
            {"Name": "SQLite_vec", "License": "MIT License, Apache License, Version 2.0"},
            "MIT OR Apache-2.0",
        ),
        ({}, "LicenseRef-unknown"),
    ],
)
def test_licences_of_metadata(fields: dict[str, str | list[str]], licence: str) -> None:
    assert package_licence(Stated(**fields)) == licence
