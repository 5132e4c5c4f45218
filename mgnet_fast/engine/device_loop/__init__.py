"""Steps that decide on the device which images enter and leave."""
