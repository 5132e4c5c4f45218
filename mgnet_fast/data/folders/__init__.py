"""Folders of images, one folder per class."""
