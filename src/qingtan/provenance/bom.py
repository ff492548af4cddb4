"""A bill of materials in CycloneDX's JSON (https://cyclonedx.org/docs/1.7/json/)."""

import datetime
import re
import uuid
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, Property, XsUri
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License, LicenseExpression
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

from qingtan.errors import UserError
from qingtan.provenance.check import find_provenance
from qingtan.provenance.models import CONFIG_FILE
from qingtan.provenance.packages import Package, installed_packages
from qingtan.provenance.record import ModelSource, Provenance, Source, Step, qingtan_version
from qingtan.provenance.spdx import normalise

SPEC_VERSION = SchemaVersion.V1_7
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://cyclonedx.org/qingtan")
_GITHUB = re.compile(r"github:([\w.-]+)/([\w.-]+)@([0-9a-f]{7,40})")


def bill_of_materials(path: str | Path) -> str:
    """Return the bill of materials of a corpus or a model as CycloneDX 1.7 JSON.

    The corpus or model depends on its sources (type data, with attribution and counts as
    properties), its base models, and Qingtan, which depends on the packages that are installed
    here. The same record and packages give the same bytes: the time is that of the record's last
    step, left out where there is none, and the serial number follows from the content.

    Args:
        path: as for `check`.

    Raises:
        UserError: as for `check`, or a step's date is none.
    """
    folder, provenance, _ = find_provenance(path)
    kind = ComponentType.DATA
    if (folder / CONFIG_FILE).is_file():
        kind = ComponentType.MACHINE_LEARNING_MODEL
    root = Component(
        type=kind,
        name=Path(path).resolve().name,
        bom_ref="root",
        properties=[
            prop
            for number, step in enumerate(provenance.steps, start=1)
            for prop in _step_properties(number, step)
        ],
    )
    parts = [_source(i, source) for i, source in enumerate(provenance.sources, start=1)]
    parts += [_model(i, model) for i, model in enumerate(provenance.models, start=1)]
    qingtan, packages = _code()
    bom = Bom(metadata=_metadata(root, provenance, folder), components=[*parts, qingtan])
    bom.register_dependency(root, [*parts, qingtan])
    _register(bom, qingtan, packages)
    # Any number gives the same text but for its own line, so the content can give the number.
    bom.serial_number = _NAMESPACE
    bom.serial_number = uuid.uuid5(_NAMESPACE, _write(bom))
    return _write(bom) + "\n"


def _write(bom: Bom) -> str:
    return make_outputter(bom, OutputFormat.JSON, SPEC_VERSION).output_as_string(indent=2)


def _metadata(root: Component, provenance: Provenance, folder: Path) -> BomMetaData:
    metadata = BomMetaData(component=root)
    metadata.timestamp = None  # type: ignore[assignment]  # else it is the present
    if provenance.steps:
        date = provenance.steps[-1].date
        try:
            metadata.timestamp = datetime.datetime.fromisoformat(date).astimezone(datetime.UTC)
        except ValueError:
            raise UserError(f"{folder}: the date {date!r} of the last step is none") from None
    return metadata


def _source(number: int, source: Source) -> Component:
    found = _GITHUB.fullmatch(source.origin)
    values = {
        "origin": source.origin,
        "attribution": source.attribution,
        "record-attributions": str(source.record_attributions),
        "documents": str(source.documents),
        "bytes": str(source.bytes),
        "tokens": str(source.tokens),
        "licence-as-stated": source.licence,
    }
    return Component(
        type=ComponentType.DATA,
        name=source.name,
        bom_ref=f"source-{number}",
        version=found[3] if found else None,
        licenses=[_licence(source.licence)],
        purl=PackageURL("github", found[1], found[2], found[3]) if found else None,
        external_references=[_repository(found[1], found[2])] if found else (),
        properties=_properties(values),
    )


def _repository(owner: str, name: str) -> ExternalReference:
    url = XsUri(f"https://github.com/{owner}/{name}")
    return ExternalReference(type=ExternalReferenceType.VCS, url=url)


def _model(number: int, model: ModelSource) -> Component:
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=model.name,
        bom_ref=f"model-{number}",
        licenses=[_licence(model.licence)],
        properties=_properties({"origin": model.origin, "attribution": model.attribution}),
    )


def _code() -> tuple[Component, list[tuple[Package, Component]]]:
    packages = [(package, _package(package)) for package in installed_packages()]
    own = next((component for package, component in packages if package.name == "qingtan"), None)
    if own is None:  # a source tree, whose dependencies nothing lists
        own = _package(Package("qingtan", qingtan_version(), "Apache-2.0", ()))
    return own, packages


def _package(package: Package) -> Component:
    purl = PackageURL("pypi", None, package.name, package.version)
    return Component(
        type=ComponentType.LIBRARY,
        name=package.name,
        version=package.version,
        bom_ref=str(purl),
        licenses=[_licence(package.licence)],
        purl=purl,
    )


def _register(bom: Bom, qingtan: Component, packages: list[tuple[Package, Component]]) -> None:
    components = {package.name: component for package, component in packages}
    bom.components.update(components.values())
    for package, component in packages:
        bom.register_dependency(component, [components[name] for name in package.requires])
    if not packages:
        bom.register_dependency(qingtan)


def _licence(stated: str) -> License:
    expression = normalise(stated)
    if " " in expression:  # the factory takes no expression with a `LicenseRef-…` for one
        return LicenseExpression(expression)
    return LicenseFactory().make_from_string(expression)


def _step_properties(number: int, step: Step) -> list[Property]:
    values = {"date": step.date, "version": step.version, **step.details}
    return _properties({f"step:{number}:{step.name}:{k}": str(v) for k, v in values.items()})


def _properties(values: dict[str, str]) -> list[Property]:
    return [Property(name=f"qingtan:{name}", value=text) for name, text in values.items() if text]
