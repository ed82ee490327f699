"""The losses, each a pure function of tensors; `objective` sums them by name and weight."""
