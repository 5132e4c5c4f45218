"""TNet: the network written by hand, and the benchmarks on a CPU."""
