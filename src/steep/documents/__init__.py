"""A file becomes `Document`s: readers, cleaning, splitting of long documents."""
