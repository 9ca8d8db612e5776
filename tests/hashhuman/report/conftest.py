"""The exports of the toy, as tests of the export have them."""

from tests.hashhuman.export.conftest import exports as exports
