"""The service's own document, corrected where the service is known to do otherwise."""

from __future__ import annotations

from pathlib import Path

ROOT = "/dream-machine/v1"


def corrected(path):
    """Read the document and mend what would condemn the service itself."""
    # It comes with schemathesis, which only this folder needs.
    import yaml

    document = yaml.safe_load(Path(path).read_text())
    schemas, paths = document["components"]["schemas"], document["paths"]
    refusal = paths["/credits"]["get"]["responses"]["default"]

    # A refused body is answered with a list of complaints, as recorded.
    schemas["Error"]["properties"]["detail"] = {"anyOf": [{"type": kind} for kind in ("string", "array", "object")]}
    # Every operation wants the key, and this one does not say what happens without it.
    paths["/ping"]["get"]["responses"]["default"] = refusal
    # Lengths that the service refuses, as recorded.
    schemas["GenerationRequest"]["properties"]["prompt"] |= {"minLength": 3, "maxLength": 5000}
    schemas["GenerationRequest"]["required"] += ["prompt"]
    # Its own example lacks the model that it requires.
    example = paths["/generations/video"]["post"]["requestBody"]["content"]["application/json"]["examples"]["default"]
    example["value"]["model"] = "ray-2"
    # The older path to create a video still works and is the only one of relays.
    paths["/generations"]["post"] = paths["/generations/video"]["post"] | {"operationId": "createGenerationAsBefore"}

    document["paths"] = {ROOT + path: operations for path, operations in paths.items()}
    document["servers"] = [{"url": "/"}]
    return document
