"""The reference models: architectures, synthetic data, training, weights and samples."""
