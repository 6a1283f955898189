"""From images to text: a detector and a recognizer engine with everything between them."""
