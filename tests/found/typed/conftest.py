"""What people type: against a node that answers from memory."""

from tests.node.faces.conftest import node

__all__ = ["node"]
