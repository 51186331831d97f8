"""What every experiment needs: its parameters, its report, the statistics in it."""
