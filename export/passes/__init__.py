"""One rewrite a file, from a NIR graph toward the one synapse a chip has between two
populations."""
