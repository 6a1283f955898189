"""Layers for random Keras models. A layer is a function of a generator and a Keras tensor."""
