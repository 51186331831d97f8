"""The description of a mod: what every holder reads of it, and what only its readers do."""
