"""MGNet and its parts."""
