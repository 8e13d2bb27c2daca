"""The command `hrec`."""
