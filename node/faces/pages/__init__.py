"""Links with web pages: what a browser's WebRTC says, and who in it asks, over the control API.

sdp       a page's offer, and our answer to it: the one place where SDP is read and written
offers    what a page signs, and the answer that begins its link
servers   the TURN servers that a page is given, with credentials that expire
verbs     the handlers of the API's routes
web       the JavaScript module that a page uses; it is shipped, and nothing here runs it
"""
