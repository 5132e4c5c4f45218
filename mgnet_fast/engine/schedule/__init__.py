"""Which image is looked at when: slots, places, streams."""
