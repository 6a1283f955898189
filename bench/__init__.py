"""Compare the speed and accuracy of engines with the model they were built from, in one run."""
