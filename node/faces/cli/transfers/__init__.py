"""Commands about how content comes and goes: limits, and downloads that wait for their turn."""
