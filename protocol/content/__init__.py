"""What a mod is made of, how its chunks are sealed, and how peers ask each other for them."""
