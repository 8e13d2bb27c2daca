"""What a model does inside, over many histories and in one: numbers, figures, a page."""
