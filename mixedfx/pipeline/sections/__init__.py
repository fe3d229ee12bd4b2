"""What the report says, a module a section, from the results of a run."""
