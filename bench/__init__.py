"""How fast and how accurate: engines against the model they came from, in one run."""
