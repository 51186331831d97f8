"""The node of the faces' tests, for faults that show in them."""

from tests.node.faces.conftest import node

__all__ = ["node"]
