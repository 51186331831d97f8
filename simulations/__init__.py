"""Many real nodes in virtual time on a simulated internet: experiments and a test bench."""
