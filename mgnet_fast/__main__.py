"""``python -m mgnet_fast``: the commands."""

from mgnet_fast.cli import main

if __name__ == "__main__":
    main()
