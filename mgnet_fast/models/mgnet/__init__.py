"""The Multi-Glimpse Network: config, network, its parts, its loss and the published algorithm."""
