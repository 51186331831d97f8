"""Hole punching: what two routers allow, which ports they will give, and who sends what when."""
