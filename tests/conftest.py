"""What holds for every test: none depends on how fast the machine is at the moment."""

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
