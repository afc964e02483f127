"""Programs that measure: each prints what it measured and what the machine could give."""
