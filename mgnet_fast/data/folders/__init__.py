"""Images in folders, a folder a class."""
