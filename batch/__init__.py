"""Read any number of images with Ray Data, on one machine or on a cluster."""
