"""From a changed word or box back to the layer that changed it."""
