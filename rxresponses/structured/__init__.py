"""Python types as JSON schemas, functions as tools, and values from JSON text, complete or not.  Pure rules."""
