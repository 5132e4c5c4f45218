"""``mgnet-fast bench`` and its subcommands."""
