"""Recipe files of the package, what they may hold, and how they are read and written."""
