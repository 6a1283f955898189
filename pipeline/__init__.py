"""Images to text: a detector engine, a recognizer engine and the steps between them."""
