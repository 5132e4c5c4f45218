"""The command that makes and shows the paper's runs."""
