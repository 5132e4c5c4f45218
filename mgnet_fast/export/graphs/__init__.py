"""The exported programs: the whole loop, or one step of it."""
