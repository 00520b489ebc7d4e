"""The projects and helpers of the workflow's tests."""

from ..workflow.conftest import images, start, untrained  # noqa: F401
