"""The toy's exported mesh, for the reader of GLB files."""

from tests.hashhuman.export.conftest import exports as exports
