"""The verbs of the control API for web pages."""

from node.answers.pages import PageAnswer, PageServers
from node.faces.api.handlers import ApiCall, Service
from node.faces.pages.servers import page_servers


async def answer(service: Service, call: ApiCall) -> PageAnswer:
    """Answer the WebRTC offer of a web page, which becomes a link once the page proves itself."""
    return await service.pages.answer(call.body)


async def servers(service: Service, call: ApiCall) -> PageServers:
    """The TURN servers for a web page, with credentials that expire."""
    node = service.node
    relays, secret = node.config.page_relays, node.config.page_relay_secret
    return page_servers(relays, secret, node.identity.peer_id, node.environment.wall())
