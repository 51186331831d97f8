"""What both sides of an open link say to each other on it so that its ICE restarts."""
