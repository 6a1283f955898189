"""Read images: run a detector engine, a recognizer engine and all steps around them."""
