"""A model on this machine, through transformers."""
