"""Luma's OpenAPI document, corrected where the service is known to behave differently."""

from __future__ import annotations

from pathlib import Path

ROOT = "/dream-machine/v1"


def corrected(path):
    """Read the document and correct what Luma's own service does not conform to."""
    # yaml is installed with schemathesis, which only this folder needs.
    import yaml

    document = yaml.safe_load(Path(path).read_text())
    schemas, paths = document["components"]["schemas"], document["paths"]
    refusal = paths["/credits"]["get"]["responses"]["default"]

    # The recorded answer to an invalid body has a list of errors.
    schemas["Error"]["properties"]["detail"] = {"anyOf": [{"type": kind} for kind in ("string", "array", "object")]}
    # Every operation requires the key, but this one does not document the answer without it.
    paths["/ping"]["get"]["responses"]["default"] = refusal
    # The lengths that the service refuses, as recorded.
    schemas["GenerationRequest"]["properties"]["prompt"] |= {"minLength": 3, "maxLength": 5000}
    schemas["GenerationRequest"]["required"] += ["prompt"]
    # Its own example lacks the model that it requires.
    example = paths["/generations/video"]["post"]["requestBody"]["content"]["application/json"]["examples"]["default"]
    example["value"]["model"] = "ray-2"
    # The older path to create a video still works, and is the only one that relays have.
    paths["/generations"]["post"] = paths["/generations/video"]["post"] | {"operationId": "createGenerationAsBefore"}

    document["paths"] = {ROOT + path: operations for path, operations in paths.items()}
    document["servers"] = [{"url": "/"}]
    return document
