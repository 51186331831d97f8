"""What single experiments are made of, too long to stand in their modules."""
