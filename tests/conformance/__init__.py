"""One suite for every device: what a kernel means is what the interpreter says."""
