"""The paths of one link: how good each is, which are kept, and which carries the link."""
