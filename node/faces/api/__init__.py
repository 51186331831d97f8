"""The control API: the running node's verbs over HTTP, on loopback only, for the owner of the home.

details     what failures carry beyond their sentence, as JSON and back
errors      what the API itself refuses, and the one table from errors to HTTP statuses
validation  JSON against the part of JSON Schema that the API uses
forms       the answers of a node as JSON, and their schemas, made from one table
schemas     the shapes of what goes in and out
handlers    one function for each verb, without a word of HTTP
routes      the one list of routes, from which both the server and the document are made
document    the OpenAPI document
guard       access control: token, host, origin
gate        which connections are served: those that show the token, in time
stream      long work, reported line by line
server      aiohttp; the only module that imports it, together with guard
"""
