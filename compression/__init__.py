"""Make a clean graph smaller from unlabeled images, without training."""
