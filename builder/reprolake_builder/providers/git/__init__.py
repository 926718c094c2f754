"""Sources that are commits of a git repository, with the submodules and large files that belong to them."""
