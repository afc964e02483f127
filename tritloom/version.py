"""The version of the package: the one place that says it, beneath every floor."""

VERSION = "0.1.0"
