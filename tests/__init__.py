"""A package, so that another one of this name among the installed ones cannot take its place."""
