"""The verbs of the control API about how content comes and goes."""

from node.answers.rates import LimitsView
from node.faces.api.handlers import ApiCall, Service


async def limits(service: Service, call: ApiCall) -> LimitsView:
    """How fast content may go."""
    return service.node.transfers.view()


async def limit(service: Service, call: ApiCall) -> LimitsView:
    """Change how fast content may go, until the node ends."""
    transfers = service.node.transfers
    transfers.command(**call.body)
    return transfers.view()
