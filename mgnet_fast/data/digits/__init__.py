"""MNIST, and digits at random places in larger scenes."""
