"""One function per stage: the only place where packages are connected."""
