"""``mgnet-fast reproduce`` and its subcommands."""
