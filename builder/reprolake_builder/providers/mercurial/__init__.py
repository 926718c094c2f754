"""Sources that are changesets of a Mercurial repository."""
