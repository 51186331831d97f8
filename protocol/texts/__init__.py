"""What people paste, and what may be shown to them: text alone, without a meaning of its own.

characters  those that no reader sees, that turn the text around them, or that steer a terminal
wrappings   what mail, chats, shells and keyboards put around and into what a person pastes
links       the link in a pasted text
peers       the peer id, or the line of a bootstrap, in one
amounts     sizes and numbers of things, as people read them
"""
