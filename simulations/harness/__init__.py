"""What an experiment is, how it is run, swept and measured."""
