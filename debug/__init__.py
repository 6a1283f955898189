"""Find the layer of a graph that changed a word or a box."""
