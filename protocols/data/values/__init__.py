"""Values of inputs: texts, conversations and images, as data files have them."""
