"""What an edit keeps of the original video, and where a reframed video shows it."""

from __future__ import annotations

from typing import Any, Literal

import attrs

from luma_async.values.public import public
from luma_async.values.validators import as_number, check_between, check_choice, check_flag, check_instance


def _fraction() -> Any:
    return attrs.field(
        default=None, kw_only=True, converter=as_number, validator=attrs.validators.optional(check_between(0, 1))
    )


@public
@attrs.frozen
class DepthControl:
    """Keep the depth of the original."""

    enabled: bool | None = attrs.field(default=None, validator=check_flag)
    """Whether it is kept; None leaves it to the model."""
    blur: float | None = _fraction()
    """How much detail is dropped, 0 to 1."""


@public
@attrs.frozen
class FaceControl:
    """Keep the faces of the original."""

    enabled: bool | None = attrs.field(default=None, validator=check_flag)
    """Whether they are kept; None leaves it to the model."""


@public
@attrs.frozen
class NormalsControl:
    """Keep the surfaces of the original."""

    enabled: bool | None = attrs.field(default=None, validator=check_flag)
    """Whether they are kept; None leaves it to the model."""
    augmentation: float | None = _fraction()
    """How much they may change, 0 to 1."""


@public
@attrs.frozen
class PoseControl:
    """Keep the poses of the original."""

    enabled: bool | None = attrs.field(default=None, validator=check_flag)
    """Whether they are kept; None leaves it to the model."""
    strength: Literal["precise", "coarse"] | None = attrs.field(
        default=None, kw_only=True, validator=check_choice("precise", "coarse")
    )
    """How exactly they are kept."""


@public
@attrs.frozen
class TrajectoryControl:
    """Keep the movements of the original."""

    enabled: bool | None = attrs.field(default=None, validator=check_flag)
    """Whether they are kept; None leaves it to the model."""
    sparsity: float | None = _fraction()
    """How few of them are kept, 0 to 1."""


@public
@attrs.frozen(kw_only=True)
class EditControls:
    """What an edit keeps of the original video."""

    depth: DepthControl | None = attrs.field(default=None, validator=check_instance("DepthControl(…)", DepthControl))
    """The depth."""
    face: FaceControl | None = attrs.field(default=None, validator=check_instance("FaceControl(…)", FaceControl))
    """The faces."""
    normals: NormalsControl | None = attrs.field(
        default=None, validator=check_instance("NormalsControl(…)", NormalsControl)
    )
    """The surfaces."""
    pose: PoseControl | None = attrs.field(default=None, validator=check_instance("PoseControl(…)", PoseControl))
    """The poses."""
    trajectory: TrajectoryControl | None = attrs.field(
        default=None, validator=check_instance("TrajectoryControl(…)", TrajectoryControl)
    )
    """The movements."""


@public
@attrs.frozen
class SourcePosition:
    """Where the original is in a reframed video, as fractions of the result's width and height."""

    x: float = attrs.field(converter=as_number, validator=check_between(-2, 2))
    """The left edge, -2 to 2; 0 is the left edge of the result."""
    y: float = attrs.field(converter=as_number, validator=check_between(-2, 2))
    """The upper edge, -2 to 2; 0 is the upper edge of the result."""
    width: float = attrs.field(converter=as_number, validator=check_between(0, 2, exclusive=True))
    """The width, up to 2; 1 is the width of the result."""
    height: float = attrs.field(converter=as_number, validator=check_between(0, 2, exclusive=True))
    """The height, up to 2; 1 is the height of the result."""
