"""Where images come from: files, folders, lists, tar shards, and URLs that fsspec opens."""
